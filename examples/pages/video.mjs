// A film of a running clock: H.264 in MP4, without an encoder. Each frame is a key frame of raw samples (I_PCM macroblocks, ITU-T
// H.264 7.3.5), so it is large for what it shows, and every moment can be seeked to.

const [columns, lines] = [20, 12];
const [width, height] = [16 * columns, 16 * lines];
const framesPerSecond = 4;

/** @returns {Buffer} about 370 kB for each second */
export function makeVideo(seconds) {
  const frames = Array.from({ length: seconds * framesPerSecond }, (_, i) => frame(i, seconds * framesPerSecond));
  const ftyp = box('ftyp', 'isom', u32(512), 'isomiso2avc1mp41');
  const length = moov(frames, 0).length;
  const mdat = box('mdat', ...frames);
  return Buffer.concat([ftyp, moov(frames, ftyp.length + length + 8), mdat]);
}

// ---- The pictures ----

/** Which of the segments a to g (bits 0 to 6) are on. */
const digits = [0x3f, 0x06, 0x5b, 0x4f, 0x66, 0x6d, 0x7d, 0x07, 0x7f, 0x6f];
const [digitWidth, digitHeight, stroke] = [40, 80, 10];
const segments = [
  [0, 0, digitWidth, stroke],
  [digitWidth - stroke, 0, stroke, digitHeight / 2],
  [digitWidth - stroke, digitHeight / 2, stroke, digitHeight / 2],
  [0, digitHeight - stroke, digitWidth, stroke],
  [0, digitHeight / 2, stroke, digitHeight / 2],
  [0, 0, stroke, digitHeight / 2],
  [0, digitHeight / 2 - stroke / 2, digitWidth, stroke],
];

/** Rows of luma samples; none is below 16, so that no bytes look like the start of a unit. */
function draw(number, count) {
  const luma = Array.from({ length: height }, (_, y) => new Uint8Array(width).fill(40 + (y >> 2)));
  const fill = (left, top, wide, high, level) => {
    for (let y = top; y < top + high; y++) luma[y].fill(level, left, left + wide);
  };
  const second = Math.floor(number / framesPerSecond);
  const shown = [Math.floor(second / 600), Math.floor(second / 60) % 10, Math.floor(second / 10) % 6, second % 10];
  shown.forEach((digit, i) => {
    const left = 42 + i * 60 + (i > 1 ? 16 : 0);
    segments.forEach(([x, y, wide, high], bit) => {
      if ((digits[digit] >> bit) & 1) fill(left + x, 40 + y, wide, high, 230);
    });
  });
  for (const top of [60, 90]) fill(158, top, 10, 10, 230);
  fill(20, 160, Math.round((280 * (number + 1)) / count), 8, 200);
  return luma;
}

function frame(number, count) {
  const luma = draw(number, count);
  const hue = (2 * Math.PI * number) / count;
  const chroma = [128 + 60 * Math.sin(hue), 128 + 60 * Math.cos(hue)].flatMap((level) => Array(64).fill(Math.round(level)));
  const bits = new Bits([0x65]).ue(0).ue(7).ue(0).u(4, 0).ue(number % 2).u(2, 0).se(0).ue(1);
  const parts = [];
  for (let mb = 0; mb < columns * lines; mb++) {
    // mb_type I_PCM, and zeros to the next byte.
    if (mb === 0) parts.push(bits.ue(25).align());
    else parts.push(Buffer.from([0x0d, 0]));
    const [left, top] = [16 * (mb % columns), 16 * Math.floor(mb / columns)];
    for (let y = 0; y < 16; y++) parts.push(luma[top + y].subarray(left, left + 16));
    parts.push(Buffer.from(chroma));
  }
  parts.push(Buffer.from([0x80]));
  const unit = Buffer.concat(parts);
  return Buffer.concat([u32(unit.length), unit]);
}

class Bits {
  #bytes;
  #free = 0;

  constructor(bytes) {
    this.#bytes = [...bytes];
  }

  u(count, value) {
    for (let bit = count - 1; bit >= 0; bit--) {
      if (this.#free === 0) this.#free = this.#bytes.push(0) && 8;
      this.#free--;
      this.#bytes[this.#bytes.length - 1] |= ((value >> bit) & 1) << this.#free;
    }
    return this;
  }

  /** Exp-Golomb, 9.1. */
  ue(value) {
    const length = 31 - Math.clz32(value + 1);
    return this.u(length, 0).u(length + 1, value + 1);
  }

  se(value) {
    return this.ue(value > 0 ? 2 * value - 1 : -2 * value);
  }

  align() {
    return Buffer.from(this.#bytes);
  }

  /** With the stop bit. */
  end() {
    return this.u(1, 1).align();
  }
}

const sps = new Bits([0x67, 66, 0xc0, 30]).ue(0).ue(0).ue(2).ue(0).u(1, 0).ue(columns - 1).ue(lines - 1).u(4, 0b1100).end();
const pps = new Bits([0x68]).ue(0).ue(0).u(2, 0).ue(0).ue(0).ue(0).u(3, 0).se(0).se(0).se(0).u(3, 0b100).end();

// ---- The file: ISO/IEC 14496-12 and -15 ----

function moov(frames, first) {
  const duration = frames.length * 1000;
  const scale = framesPerSecond * 1000;
  const matrix = Buffer.concat([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000].map(u32));
  const avcC = box('avcC', [1, 66, 0xc0, 30, 0xff, 0xe1], u16(sps.length), sps, [1], u16(pps.length), pps);
  const entry = box(
    'avc1',
    [0, 0, 0, 0, 0, 0],
    u16(1),
    Buffer.alloc(16),
    u16(width),
    u16(height),
    u32(0x480000),
    u32(0x480000),
    u32(0),
    u16(1),
    Buffer.alloc(32),
    u16(24),
    [0xff, 0xff],
    avcC,
  );
  const table = box(
    'stbl',
    full('stsd', 0, u32(1), entry),
    full('stts', 0, u32(1), u32(frames.length), u32(1000)),
    full('stsc', 0, u32(1), u32(1), u32(frames.length), u32(1)),
    full('stsz', 0, u32(0), u32(frames.length), ...frames.map(({ length }) => u32(length))),
    full('stco', 0, u32(1), u32(first)),
  );
  const reference = box('dinf', full('dref', 0, u32(1), full('url ', 1)));
  const media = box(
    'mdia',
    full('mdhd', 0, u32(0), u32(0), u32(scale), u32(duration), u16(0x55c4), u16(0)),
    full('hdlr', 0, u32(0), 'vide', Buffer.alloc(12), 'clock\0'),
    box('minf', full('vmhd', 1, Buffer.alloc(8)), reference, table),
  );
  const track = full('tkhd', 3, u32(0), u32(0), u32(1), u32(0), u32(duration), Buffer.alloc(16), matrix, u32(width << 16), u32(height << 16));
  return box(
    'moov',
    full('mvhd', 0, u32(0), u32(0), u32(scale), u32(duration), u32(0x10000), u16(0x100), Buffer.alloc(10), matrix, Buffer.alloc(24), u32(2)),
    box('trak', track, media),
  );
}

function box(name, ...parts) {
  const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part))));
  return Buffer.concat([u32(body.length + 8), Buffer.from(name, 'latin1'), body]);
}

function full(name, flags, ...parts) {
  return box(name, u32(flags), ...parts);
}

function u32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function u16(value) {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
