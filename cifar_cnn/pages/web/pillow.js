// What `cifar_cnn` does to a picture before the network sees it, pixel by pixel as Pillow does it in Python:
// `to_rgb` (white ground, every second pixel of a huge picture), `fit_square` (scale, crop the middle), `convert` (grey).
// The canvas of a browser scales otherwise, and a network then gives another answer to one picture in three.

const BITS = 22;  // of the fraction in Pillow's fixed-point weights

// The weights with which the pixels of one line become `size` pixels: a bilinear filter, widened so that it averages
// when it shrinks. `start` and `end` bound the part of the line that is used. Pillow keeps these bounds in float32.
function coefficients(length, start, end, size) {
  const scale = Math.fround(end - start) / size, support = Math.max(scale, 1), sharpness = 1 / support;
  return Array.from({length: size}, (_, position) => {
    const centre = start + (position + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(length, Math.trunc(centre + support + 0.5));
    const weights = [];
    let sum = 0;
    for (let at = first; at < last; at++) {
      const weight = Math.max(0, 1 - Math.abs((at - centre + 0.5) * sharpness));
      weights.push(weight);
      sum += weight;
    }
    return {first, weights: Int32Array.from(weights, weight => Math.trunc(0.5 + weight / sum * (1 << BITS)))};
  });
}

// One pass over an image of `lines` × `length` × 3: every line becomes `size` pixels. `step` is the distance from one
// pixel of a line to the next, `jump` that from one line to the next: so rows and columns are one code.
function pass(data, lines, jump, step, filters, out, outJump, outStep) {
  for (let line = 0; line < lines; line++) {
    for (let position = 0; position < filters.length; position++) {
      const {first, weights} = filters[position];
      for (let channel = 0; channel < 3; channel++) {
        let sum = 1 << (BITS - 1), at = line * jump + first * step + channel;
        for (let k = 0; k < weights.length; k++, at += step) sum += data[at] * weights[k];
        out[line * outJump + position * outStep + channel] = sum >> BITS;
      }
    }
  }
  return out;
}

// The part of a picture that `ImageOps.fit` keeps: left, top, right, bottom, in the float32 of Pillow's C code.
export function cropBox(width, height, crop) {
  const bleed = (1 - crop) / 2, left = bleed * width, top = bleed * height;
  const liveWidth = width - left * 2, liveHeight = height - top * 2;
  const ratio = liveWidth / liveHeight;
  const keptWidth = ratio > 1 ? liveHeight : liveWidth, keptHeight = ratio < 1 ? liveWidth : liveHeight;
  const x = left + (liveWidth - keptWidth) * 0.5, y = top + (liveHeight - keptHeight) * 0.5;
  return [x, y, x + keptWidth, y + keptHeight].map(Math.fround);
}

// `fit_square`: height × width × 3 bytes become size × size × 3. Pillow 13 and later filter the columns of a tall
// picture first (`tallFirst`), which moves some pixels by 1 of 255.
export function fitSquare({data, width, height}, size, crop, tallFirst) {
  const [left, top, right, bottom] = cropBox(width, height, crop);
  const across = width !== size || left !== 0 || right !== size;
  const down = height !== size || top !== 0 || bottom !== size;
  const rows = lines => {  // every row becomes `size` pixels
    const filters = coefficients(width, left, right, size);
    data = pass(data, lines, width * 3, 3, filters, new Uint8ClampedArray(lines * size * 3), size * 3, 3);
    width = size;
  };
  const columns = () => {  // every column becomes `size` pixels
    const filters = coefficients(height, top, bottom, size);
    data = pass(data, width, 3, width * 3, filters, new Uint8ClampedArray(size * width * 3), 3, width * 3);
  };
  const columnsFirst = tallFirst && height > size && height - size > 2 * (width - size);
  if (columnsFirst && down) columns();
  if (across) rows(columnsFirst ? size : height);
  if (!columnsFirst && down) columns();
  return data;
}

// `Image.convert("L")`: the brightness of each pixel.
export function toGrey(data) {
  return Uint8ClampedArray.from({length: data.length / 3}, (_, at) =>
    (data[3 * at] * 19595 + data[3 * at + 1] * 38470 + data[3 * at + 2] * 7471 + 0x8000) >> 16);
}

// size × size × channels become channels × size × size, as the network takes them.
export function channelsFirst(data, channels) {
  const pixels = data.length / channels, out = new Uint8Array(data.length);
  for (let at = 0; at < pixels; at++) {
    for (let channel = 0; channel < channels; channel++) out[channel * pixels + at] = data[at * channels + channel];
  }
  return out;
}

// A value of 0–255 on white, mixed by its alpha of 0–255: `Image.alpha_composite`.
export function onWhite(value, alpha) {
  const mixed = (value * alpha + 255 * (255 - alpha) + 128) * 128;
  return ((mixed >> 8) + mixed) >> 15;
}

// The size of a picture after `to_rgb` has kept every second pixel, or third, of one of more than 16 million.
export function thinned(width, height) {
  const step = Math.ceil(Math.sqrt(width * height / 16e6));
  return step <= 1 ? {width, height}
    : {width: Math.max(1, Math.trunc(width / step)), height: Math.max(1, Math.trunc(height / step))};
}

// Which of `length` pixels Pillow's nearest-neighbour filter takes for each of `size`.
export function nearest(length, size) {
  const step = length / size;
  let at = step / 2;
  return Int32Array.from({length: size}, () => {
    const pixel = Math.trunc(at);
    at += step;
    return pixel;
  });
}
