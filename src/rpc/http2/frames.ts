// Frames of HTTP/2 (RFC 9113, section 4.1 and 6), as far as the direct stream needs them.

export const FRAME_HEADER_BYTES = 9;
/** The client's first bytes, before its SETTINGS (RFC 9113, section 3.4). */
export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

export const FRAME = { data: 0x0, headers: 0x1, settings: 0x4, windowUpdate: 0x8 } as const;
export const FLAG = { endStream: 0x1, ack: 0x1, padded: 0x8 } as const;
export const SETTING = { initialWindowSize: 0x4, maxFrameSize: 0x5 } as const;

/** Initial window of a connection, and of a stream unless SETTINGS say otherwise. */
export const DEFAULT_WINDOW_BYTES = 65_535;
export const DEFAULT_MAX_FRAME_BYTES = 16_384;
export const MOST_WINDOW_BYTES = 2 ** 31 - 1;

export interface FrameHeader {
  /** Size of the payload in bytes. */
  readonly length: number;
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
}

export function encodeFrameHeader({ length, type, flags, stream }: FrameHeader): Buffer {
  const encoded = Buffer.allocUnsafe(FRAME_HEADER_BYTES);
  encoded.writeUIntBE(length, 0, 3);
  encoded[3] = type;
  encoded[4] = flags;
  encoded.writeUInt32BE(stream, 5);
  return encoded;
}

export function decodeFrameHeader(encoded: Buffer): FrameHeader {
  return {
    length: encoded.readUIntBE(0, 3),
    type: encoded[3]!,
    flags: encoded[4]!,
    stream: encoded.readUInt32BE(5) & 0x7fffffff,
  };
}

export function encodeFrame(header: Omit<FrameHeader, 'length'>, payload: Uint8Array): Buffer {
  return Buffer.concat([encodeFrameHeader(Object.assign({ length: payload.length }, header)), payload]);
}

/** gRPC's prefix of a message, which is carried in DATA frames: whether it is compressed, and its length. */
export const MESSAGE_PREFIX_BYTES = 5;

/** Encodes the prefix of an uncompressed message of `bytes` bytes. */
export function messagePrefix(bytes: number): Buffer {
  const prefix = Buffer.alloc(MESSAGE_PREFIX_BYTES);
  prefix.writeUInt32BE(bytes, 1);
  return prefix;
}

export interface Setting {
  readonly id: number;
  readonly value: number;
}

const SETTING_BYTES = 6;

export function decodeSettings(payload: Buffer): Setting[] {
  return Array.from({ length: Math.floor(payload.length / SETTING_BYTES) }, (_, i) => ({
    id: payload.readUInt16BE(i * SETTING_BYTES),
    value: payload.readUInt32BE(i * SETTING_BYTES + 2),
  }));
}

export function encodeSettings(settings: readonly Setting[]): Buffer {
  const payload = Buffer.alloc(settings.length * SETTING_BYTES);
  settings.forEach(({ id, value }, i) => {
    payload.writeUInt16BE(id, i * SETTING_BYTES);
    payload.writeUInt32BE(value, i * SETTING_BYTES + 2);
  });
  return payload;
}

/** Returns the length of the preface and the frame after it; null if that is not known yet. */
export function openingBytes(received: Buffer): number | null {
  const headerEnd = PREFACE.length + FRAME_HEADER_BYTES;
  if (received.length < headerEnd) return null;
  return headerEnd + decodeFrameHeader(received.subarray(PREFACE.length)).length;
}

/** Encodes WINDOW_UPDATE frames for both windows that count a stream's bytes. */
export function encodeWindowUpdates(stream: number, bytes: number): Buffer {
  const increment = Buffer.allocUnsafe(4);
  increment.writeUInt32BE(bytes);
  const of = (id: number) => encodeFrame({ type: FRAME.windowUpdate, flags: 0, stream: id }, increment);
  return Buffer.concat([of(0), of(stream)]);
}

/** Takes the frames that a FrameCutter cuts. */
export interface FrameSink {
  /** Called when a frame begins; returns true to get the bare payload by `payload`, else the whole frame by `other`. */
  begin?(header: FrameHeader): boolean;
  payload?(bytes: Buffer): void;
  /** Called with a frame whose payload was not taken, header included. */
  other?(header: FrameHeader, encoded: Buffer): void;
  /** Called at the end of a frame whose payload was taken. */
  end?(header: FrameHeader): void;
}

/** Cuts the bytes of a connection into frames, wherever the received chunks end. */
export class FrameCutter {
  readonly #head = Buffer.alloc(FRAME_HEADER_BYTES);
  #headBytes = 0;
  #header: FrameHeader | null = null;
  #isTaken = false;
  /** The bytes of the frame so far, if its payload is not taken. */
  #encoded: Buffer = this.#head;
  /** Bytes of the frame that are still to come: first a PADDED frame's length of the padding, then payload, then padding. */
  #left = 0;
  #padding = 0;
  #padLengthIsDue = false;

  /** @param maxFrameBytes maximum size of a frame whose payload is not taken; a longer one is an error of the peer */
  constructor(
    private readonly sink: FrameSink,
    private readonly maxFrameBytes: number,
  ) {}

  /** Number of bytes of a taken payload that come next; 0 if something else comes next. */
  get directBytes(): number {
    return this.#isTaken && !this.#padLengthIsDue ? Math.max(0, this.#left - this.#padding) : 0;
  }

  /** Skips bytes of a taken payload, at most `directBytes`, that the receiver has got directly. */
  skip(bytes: number): void {
    this.#left -= bytes;
    if (this.#left === 0) this.#finish();
  }

  /** @throws Error if a frame is longer than allowed, or has more padding than bytes */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#header === null) {
        const count = Math.min(FRAME_HEADER_BYTES - this.#headBytes, chunk.length - at);
        chunk.copy(this.#head, this.#headBytes, at, at + count);
        this.#headBytes += count;
        at += count;
        if (this.#headBytes === FRAME_HEADER_BYTES) this.#start(decodeFrameHeader(this.#head));
        continue;
      }
      const direct = this.directBytes;
      const count = this.#padLengthIsDue ? 1 : Math.min(direct || this.#left, chunk.length - at);
      this.#take(chunk.subarray(at, at + count), direct > 0);
      at += count;
    }
  }

  #start(header: FrameHeader): void {
    this.#header = header;
    this.#left = header.length;
    this.#padding = 0;
    this.#isTaken = this.sink.begin?.(header) ?? false;
    this.#padLengthIsDue = this.#isTaken && (header.flags & FLAG.padded) !== 0;
    if (!this.#isTaken) {
      if (header.length > this.maxFrameBytes)
        throw new Error(`a frame of type ${header.type} has ${header.length} bytes`);
      this.#encoded = Buffer.allocUnsafe(FRAME_HEADER_BYTES + header.length);
      this.#head.copy(this.#encoded);
    }
    if (this.#left === 0) {
      if (this.#padLengthIsDue) throw new Error('a padded frame has no length of its padding');
      this.#finish();
    }
  }

  #take(bytes: Buffer, isPayload: boolean): void {
    if (!this.#isTaken) bytes.copy(this.#encoded, this.#encoded.length - this.#left);
    else if (this.#padLengthIsDue) {
      this.#padLengthIsDue = false;
      this.#padding = bytes[0]!;
      if (this.#padding > this.#left - 1) throw new Error('a frame has more padding than bytes');
    } else if (isPayload) this.sink.payload?.(bytes);
    this.#left -= bytes.length;
    if (this.#left === 0) this.#finish();
  }

  #finish(): void {
    const header = this.#header!;
    this.#header = null;
    this.#headBytes = 0;
    const isTaken = this.#isTaken;
    this.#isTaken = false;
    if (isTaken) this.sink.end?.(header);
    else this.sink.other?.(header, this.#encoded);
  }
}
