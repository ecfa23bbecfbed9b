// From a picture file to its pixels, the same in every browser: those that Pillow reads.

import {takeOrientation, upright} from "./exif.js";
import {decodeDeep} from "./png16.js";
import {nearest, onWhite, thinned} from "./pillow.js";

const DECODING = {colorSpaceConversion: "none", premultiplyAlpha: "none"};
const MOST_PIXELS = 52e6;  // as in Python

// --- Reading the pixels of a decoded picture, some lines at a time, as RGBA on white ---

// From a canvas: most browsers mix transparent pixels with the white ground as Pillow does.
function canvasReader(bitmap, lines) {
  const canvas = Object.assign(document.createElement("canvas"), {width: bitmap.width, height: lines});
  const context = canvas.getContext("2d", {willReadFrequently: true});
  return start => {
    context.fillStyle = "white";
    context.fillRect(0, 0, bitmap.width, lines);
    context.drawImage(bitmap, 0, -start);
    return context.getImageData(0, 0, bitmap.width, lines).data;
  };
}

// From a video frame of one picture where it is transparent: its bytes come as they are, and are mixed here.
function frameReader(bitmap, lines) {
  const canvas = Object.assign(document.createElement("canvas"), {width: bitmap.width, height: lines});
  const context = canvas.getContext("2d", {willReadFrequently: true});
  let whole;
  return async start => {
    context.clearRect(0, 0, bitmap.width, lines);
    context.drawImage(bitmap, 0, -start);
    const data = context.getImageData(0, 0, bitmap.width, Math.min(lines, bitmap.height - start)).data;
    for (let at = 0, from = start * bitmap.width * 4; at < data.length; at += 4, from += 4) {
      if (data[at + 3] === 255) continue;
      whole ??= await bytesOf(bitmap);
      for (let channel = 0; channel < 3; channel++) data[at + channel] = onWhite(whole[from + channel], whole[from + 3]);
    }
    return data;
  };
}

// Height × width × 4 bytes, not mixed with anything.
async function bytesOf(bitmap) {
  const frame = new VideoFrame(bitmap, {timestamp: 0, alpha: "keep"});
  const data = new Uint8Array(frame.allocationSize({format: "RGBA"}));
  await frame.copyTo(data, {format: "RGBA"});
  frame.close();
  return data;
}

// height × width × 3 bytes. It is read in strips, because a phone has no canvas for all of it.
async function pixelsOf(bitmap, reader) {
  const {width, height} = thinned(bitmap.width, bitmap.height), data = new Uint8ClampedArray(height * width * 3);
  const xs = nearest(bitmap.width, width), ys = nearest(bitmap.height, height);
  const lines = Math.max(1, Math.min(bitmap.height, Math.trunc(4e6 / bitmap.width))), read = reader(bitmap, lines);
  for (let start = 0, y = 0; start < bitmap.height; start += lines) {
    const source = await read(start);
    for (; y < height && ys[y] < start + lines; y++) {
      for (let x = 0, to = y * width * 3; x < width; x++, to += 3) {
        const from = ((ys[y] - start) * bitmap.width + xs[x]) * 4;
        data[to] = source[from]; data[to + 1] = source[from + 1]; data[to + 2] = source[from + 2];
      }
    }
  }
  return {data, width, height};
}

// --- What this browser can do ---

// Whether a reader gives the right bytes, transparent pixels included. Firefox's canvas rounds otherwise, and some
// browsers change the pixels that a page reads, so that it cannot recognise its visitor.
async function isExact(reader) {
  const colours = Uint8ClampedArray.from({length: 4 * 4096}, (_, at) => at % 4 === 3 ? at / 64 : at * 37 % 256);
  try {
    const bitmap = await createImageBitmap(new ImageData(colours, 64), DECODING), {data} = await pixelsOf(bitmap, reader);
    return data.every((value, at) => {
      const from = 4 * Math.trunc(at / 3);
      return value === onWhite(colours[from + at % 3], colours[from + 3]);
    });
  } catch { return false; }  // there are no video frames in this browser
}

// How to read pictures here: `exact` says whether the pixels are Pillow's.
export async function learn() {
  const canvas = await isExact(canvasReader), exact = canvas || await isExact(frameReader);
  return {exact, reader: canvas || !exact ? canvasReader : frameReader};
}

// A picture file as height × width × 3 bytes, upright, on white. Throws an error that says why it cannot be read.
export async function decode(blob, {reader}) {
  const bytes = new Uint8Array(await blob.arrayBuffer()), turned = takeOrientation(bytes);
  const deep = await decodeDeep(bytes).catch(() => { throw new Error("it is damaged"); });
  if (deep) return upright(deep, turned);
  const bitmap = await createImageBitmap(new Blob([bytes], {type: blob.type}), DECODING).catch(() => {
    throw new Error("it is empty, damaged, or of a format that this browser does not know " +
                    "(JPEG, PNG, GIF, BMP and WebP it knows)");
  });
  try {
    if (bitmap.width * bitmap.height > MOST_PIXELS) {
      throw new Error(`it has more than ${MOST_PIXELS / 1e6} million pixels: make it smaller`);
    }
    return upright(await pixelsOf(bitmap, reader), turned);
  } finally {
    bitmap.close();
  }
}
