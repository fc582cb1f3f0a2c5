// Boxes of an MP4 file, moved about.

/** @returns {Map<string, Buffer>} the boxes on top, header and all */
function boxesOf(file) {
  const boxes = new Map();
  for (let at = 0; at < file.length; at += file.readUInt32BE(at)) {
    boxes.set(file.toString('latin1', at + 4, at + 8), file.subarray(at, at + file.readUInt32BE(at)));
  }
  return boxes;
}

/** A film of one track and one chunk, as recorders write it: its tables after its pictures. */
export function tablesLast(film) {
  const boxes = boxesOf(film);
  const [ftyp, mdat] = [boxes.get('ftyp'), boxes.get('mdat')];
  const moov = Buffer.from(boxes.get('moov'));
  const chunkOffset = moov.indexOf('stco') + 12;
  moov.writeUInt32BE(ftyp.length + 8, chunkOffset);
  return Buffer.concat([ftyp, mdat, moov]);
}
