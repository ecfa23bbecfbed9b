// PNG files of 16 bits. Browsers make 8 bits of them in different ways. Here it is done as Pillow and `to_rgb` do.

import {onWhite} from "./pillow.js";

const CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4};  // by PNG's colour type: grey, RGB, grey and alpha, RGB and alpha
const WHOLE = [[0, 0, 1, 1]];
const INTERLACED = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

// What the file's header says, and its compressed pixels; undefined where it is no such file.
function read(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), parts = [];
  const name = at => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.length < 33 || name(0) !== "\x89PNG" || bytes[24] !== 16) return undefined;
  for (let at = 8; at + 8 <= bytes.length; at += 12 + view.getUint32(at)) {
    if (name(at + 4) === "tRNS") return undefined;  // one colour is transparent: too rare to be done here
    if (name(at + 4) === "IDAT") parts.push(bytes.subarray(at + 8, at + 8 + view.getUint32(at)));
  }
  return {width: view.getUint32(16), height: view.getUint32(20), colour: bytes[25], interlaced: bytes[28] === 1, parts};
}

function paeth(left, above, corner) {
  const estimate = left + above - corner;
  const [one, two, three] = [left, above, corner].map(value => Math.abs(estimate - value));
  return one <= two && one <= three ? left : two <= three ? above : corner;
}

// Undo the filter of one line in place. Each byte was stored as its difference from neighbours.
function unfilter(kind, line, above, step) {
  for (let at = 0; at < line.length; at++) {
    const left = at < step ? 0 : line[at - step], corner = at < step ? 0 : above[at - step];
    line[at] += [0, left, above[at], (left + above[at]) >> 1, kind === 4 ? paeth(left, above[at], corner) : 0][kind];
  }
}

// A 16-bit PNG as height × width × 3 bytes on white; undefined for every other file.
export async function decodeDeep(bytes) {
  const file = read(bytes);
  if (!file) return undefined;
  const {width, height, colour} = file, channels = CHANNELS[colour], step = 2 * channels;
  const packed = new Blob(file.parts).stream().pipeThrough(new DecompressionStream("deflate"));
  const rows = new Uint8Array(await new Response(packed).arrayBuffer()), data = new Uint8ClampedArray(width * height * 3);
  const put = (line, at, to) => {  // of colours the high byte counts; grey alone is rounded
    const grey = colour === 0 ? Math.round((line[at] * 256 + line[at + 1]) / 65535 * 255) : line[at];
    const alpha = channels % 2 ? 255 : line[at + step - 2];
    for (let channel = 0; channel < 3; channel++) {
      data[to + channel] = onWhite(channels < 3 ? grey : line[at + 2 * channel], alpha);
    }
  };
  let from = 0;
  for (const [left, top, across, down] of file.interlaced ? INTERLACED : WHOLE) {
    const count = Math.ceil((width - left) / across);
    let above = new Uint8Array(count * step);
    for (let y = top; count > 0 && y < height; y += down, from += 1 + count * step) {
      const line = rows.subarray(from + 1, from + 1 + count * step);
      unfilter(rows[from], line, above, step);
      for (let x = 0; x < count; x++) put(line, x * step, 3 * (y * width + left + x * across));
      above = line;
    }
  }
  if (from > rows.length) throw new Error("the file is cut off");
  return {data, width, height};
}
