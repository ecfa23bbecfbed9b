// How a picture file says that its pixels lie on their side. Browsers differ in the formats that they turn. So they get
// files that do not say it, and the pixels are turned here, as `ImageOps.exif_transpose` does.

const ORIENTATION = 0x0112;

// The pieces of a file that may hold EXIF data, by format: [start, end) of each.
function* pieces(bytes, view) {
  const text = (at, length) => String.fromCharCode(...bytes.subarray(at, at + length));
  if (bytes[0] === 0xff && bytes[1] === 0xd8) {  // JPEG: marker, length, content
    for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda; at += 2 + view.getUint16(at + 2)) {
      if (bytes[at + 1] === 0xe1 && text(at + 4, 4) === "Exif") yield [at + 10, at + 2 + view.getUint16(at + 2)];
    }
  } else if (text(1, 3) === "PNG") {  // length, name, content, checksum
    for (let at = 8; at + 8 <= bytes.length; at += 12 + view.getUint32(at)) {
      if (text(at + 4, 4) === "eXIf") yield [at + 8, at + 8 + view.getUint32(at)];
    }
  } else if (text(0, 4) === "RIFF" && text(8, 4) === "WEBP") {  // name, length, content, padded to an even length
    for (let at = 12; at + 8 <= bytes.length; at += 8 + view.getUint32(at + 4, true) + view.getUint32(at + 4, true) % 2) {
      const start = at + 8 + (text(at + 8, 4) === "Exif" ? 6 : 0);
      if (text(at, 4) === "EXIF") yield [start, at + 8 + view.getUint32(at + 4, true)];
    }
  }
}

// 1 (upright) to 8, as EXIF counts; 1 where the file does not say. In `bytes` the file then says that it is upright.
export function takeOrientation(bytes) {
  try {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (const [start, end] of pieces(bytes, view)) {
      const exif = new DataView(bytes.buffer, bytes.byteOffset + start, end - start), little = exif.getUint8(0) === 0x49;
      const directory = exif.getUint32(4, little), count = exif.getUint16(directory, little);
      for (let entry = directory + 2; entry < directory + 2 + 12 * count; entry += 12) {
        if (exif.getUint16(entry, little) !== ORIENTATION) continue;
        const value = exif.getUint16(entry + 8, little);
        exif.setUint16(entry + 8, 1, little);
        return value >= 1 && value <= 8 ? value : 1;
      }
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;  // the data end too early
  }
  return 1;
}

// height × width × 3 bytes, upright.
export function upright({data, width, height}, orientation) {
  if (orientation === 1) return {data, width, height};
  const swapped = orientation >= 5;
  const mirrored = [2, 3, 7, 8].includes(orientation), flipped = [3, 4, 6, 7].includes(orientation);
  const [newWidth, newHeight] = swapped ? [height, width] : [width, height], out = new Uint8ClampedArray(data.length);
  for (let y = 0, to = 0; y < newHeight; y++) {
    for (let x = 0; x < newWidth; x++) {
      const column = swapped ? y : x, row = swapped ? x : y;
      const from = 3 * ((flipped ? height - 1 - row : row) * width + (mirrored ? width - 1 - column : column));
      out[to++] = data[from]; out[to++] = data[from + 1]; out[to++] = data[from + 2];
    }
  }
  return {data: out, width: newWidth, height: newHeight};
}
