import { once } from 'node:events';
import net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { readOpening } from './connection-name.js';
import {
  DEFAULT_MAX_FRAME_BYTES,
  DEFAULT_WINDOW_BYTES,
  decodeSettings,
  encodeFrameHeader,
  FLAG,
  FRAME,
  FrameCutter,
  MOST_WINDOW_BYTES,
  messagePrefix,
  PREFACE,
  SETTING,
  type Setting,
} from './frames.js';

const STREAM = 1;

interface Waiting {
  /** Bytes of messages, prefixes included. */
  readonly parts: readonly Uint8Array[];
  readonly bytes: number;
  readonly done: () => void;
}

/**
 * A connection that a client has named: `send` writes the DATA frames of its only call without copying, beside the
 * HTTP/2 session that serves the call. The session sees no data, so this class handles the updates of windows.
 */
export class DirectConnection {
  #connectionWindow = DEFAULT_WINDOW_BYTES;
  #streamWindow = DEFAULT_WINDOW_BYTES;
  #initialWindow = DEFAULT_WINDOW_BYTES;
  #maxFrameBytes = DEFAULT_MAX_FRAME_BYTES;
  readonly #waiting: Waiting[] = [];
  /** Whether the session has sent the headers of the response, before which no data may come. */
  #isOpen = false;

  constructor(private readonly socket: net.Socket) {}

  /**
   * Sends one message, as soon as the peer's windows have room.
   *
   * @param parts parts of the message, which must not change until `done` is called
   * @param done called once the kernel has all parts; never if the connection breaks
   */
  send(parts: readonly Uint8Array[], done: () => void): void {
    const bytes = parts.reduce((sum, { length }) => sum + length, 0);
    const prefix = messagePrefix(bytes);
    this.#waiting.push({ parts: [prefix, ...parts], bytes: prefix.length + bytes, done });
    if (this.#waiting.length === 1) this.#sendWaiting();
  }

  /** Called when the session has sent the headers of the response. */
  open(): void {
    this.#isOpen = true;
    this.#sendWaiting();
  }

  /** Address of the client, which the server of gRPC does not see. */
  get peer(): string {
    return `${this.socket.remoteAddress}:${this.socket.remotePort}`;
  }

  /** True if all that `send` was given is on its way, or the connection broke. */
  get isDrained(): boolean {
    return (this.#waiting.length === 0 && this.socket.writableLength === 0) || this.socket.destroyed;
  }

  /** Waits up to `timeoutMs` for the client to close the connection, then closes it. No part is read after that. */
  async close(timeoutMs: number): Promise<void> {
    if (this.socket.closed) return;
    const signal = AbortSignal.timeout(Math.max(0, Math.ceil(timeoutMs)));
    await once(this.socket, 'close', { signal }).catch(() => undefined);
    this.socket.destroy();
  }

  /** Takes the client's SETTINGS, which the session sees too. */
  takeSettings(settings: readonly Setting[]): void {
    for (const { id, value } of settings) {
      if (id === SETTING.maxFrameSize) this.#maxFrameBytes = value;
      if (id !== SETTING.initialWindowSize) continue;
      this.#streamWindow += value - this.#initialWindow;
      this.#initialWindow = value;
    }
    this.#sendWaiting();
  }

  /** @throws Error if the update is 0, or makes the window greater than allowed */
  takeWindowUpdate(stream: number, payload: Buffer): void {
    const increment = payload.length === 4 ? payload.readUInt32BE() & MOST_WINDOW_BYTES : 0;
    if (stream === 0) this.#connectionWindow += increment;
    else this.#streamWindow += increment;
    if (increment === 0 || Math.max(this.#connectionWindow, this.#streamWindow) > MOST_WINDOW_BYTES)
      throw new Error('an update of a window is 0, or makes it greater than it may be');
    this.#sendWaiting();
  }

  /** Sends what the windows have room for; completes a message before the next one. */
  #sendWaiting(): void {
    if (!this.#isOpen) return;
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const room = Math.min(this.#connectionWindow, this.#streamWindow, this.#maxFrameBytes, first.bytes);
      if (room <= 0) return;
      this.#connectionWindow -= room;
      this.#streamWindow -= room;
      const isWhole = room === first.bytes;
      const [now, later] = isWhole ? [first.parts, []] : cut(first.parts, room);
      if (isWhole) this.#waiting.shift();
      else this.#waiting[0] = { parts: later, bytes: first.bytes - room, done: first.done };
      this.socket.cork();
      this.socket.write(encodeFrameHeader({ length: room, type: FRAME.data, flags: 0, stream: STREAM }));
      const last = now.length - 1;
      now.forEach((part, i) => {
        if (isWhole && i === last) this.socket.write(part, (error) => !error && first.done());
        else this.socket.write(part);
      });
      this.socket.uncork();
    }
  }
}

/** Cuts parts after the given number of bytes, which is less than their total. */
function cut(parts: readonly Uint8Array[], bytes: number): [Uint8Array[], Uint8Array[]] {
  const [now, later]: [Uint8Array[], Uint8Array[]] = [[], []];
  let left = bytes;
  for (const part of parts) {
    if (left > 0) now.push(part.subarray(0, left));
    if (left < part.length) later.push(part.subarray(left));
    left = Math.max(0, left - part.length);
  }
  return [now, later];
}

/** Finds the connection of a call by the name in its metadata; undefined if its client has named none. */
export type FindDirect = (name: string) => DirectConnection | undefined;

/**
 * Accepts connections for a gRPC server. `inject` gets an unnamed connection itself; for a named one it gets a stream
 * without the bytes that the DirectConnection takes.
 *
 * @param secure options of TLS; null for plain text
 */
export function directListener(
  inject: (connection: Duplex) => void,
  secure: tls.TlsOptions | null,
): { readonly server: net.Server; readonly find: FindDirect } {
  const named = new Map<string, DirectConnection>();
  const accept = (socket: net.Socket) => {
    socket.setNoDelay(true);
    const ignore = () => undefined;
    socket.on('error', ignore);
    let received = Buffer.alloc(0);
    const look = () => {
      for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read())
        received = Buffer.concat([received, chunk]);
      const opening = readOpening(received);
      if (opening === null) return;
      socket.removeListener('readable', look);
      socket.removeListener('error', ignore);
      socket.unshift(received);
      if (opening.name === null) inject(socket);
      else {
        const connection = new DirectConnection(socket);
        named.set(opening.name, connection);
        socket.once('close', () => named.delete(opening.name!));
        inject(besides(connection, socket));
      }
    };
    socket.on('readable', look);
  };
  const server =
    secure === null
      ? net.createServer(accept)
      : tls.createServer({ ALPNProtocols: ['h2'], ...secure }, accept);
  return { server, find: (name) => named.get(name) };
}

/** Returns the stream for the session of a named connection: all that its DirectConnection neither takes nor sends. */
function besides(connection: DirectConnection, socket: net.Socket): Duplex {
  let kept: Buffer[] = [];
  const cutter = new FrameCutter(
    {
      other: ({ type, flags, stream, length }, encoded) => {
        const payload = encoded.subarray(encoded.length - length);
        if (type === FRAME.windowUpdate && (stream === 0 || stream === STREAM)) {
          connection.takeWindowUpdate(stream, payload);
          return;
        }
        if (type === FRAME.settings && (flags & FLAG.ack) === 0)
          connection.takeSettings(decodeSettings(payload));
        kept.push(encoded);
      },
    },
    // Node's server announces no other maximum.
    DEFAULT_MAX_FRAME_BYTES,
  );
  const sent = new FrameCutter(
    {
      begin: ({ type, stream }) => {
        isHeaders ||= type === FRAME.headers && stream === STREAM;
        return true;
      },
    },
    0,
  );
  let isHeaders = false;
  const shim: Duplex = new Duplex({
    read: () => take(),
    // The session writes whole frames at a time, which go to the socket at once: the DirectConnection's bytes have to
    // come between two frames, never within one. Until the socket has sent it, the session reads no more, as on connections
    // without a name.
    writev: (chunks, done) => {
      const bytes = Buffer.concat(chunks.map(({ chunk }) => chunk));
      socket.write(bytes, done);
      if (isHeaders) return;
      sent.push(bytes);
      if (isHeaders) connection.open();
    },
    final: (done) => {
      socket.end();
      done();
    },
    destroy: (error, done) => {
      socket.destroy();
      done(error);
    },
  });
  let prefaceLeft = PREFACE.length;
  // The session gets the frames of a read in one piece, as many small ones would cost many times their bytes in memory.
  const take = () => {
    if (shim.readableLength >= shim.readableHighWaterMark) return;
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    kept = [chunk.subarray(0, prefaceLeft)];
    prefaceLeft -= kept[0]!.length;
    try {
      cutter.push(chunk.subarray(kept[0]!.length));
      shim.push(Buffer.concat(kept));
    } catch (error) {
      shim.destroy(error as Error);
    }
  };
  socket.on('readable', take);
  socket.on('end', () => shim.push(null));
  socket.on('error', (error) => shim.destroy(error));
  socket.on('close', () => shim.destroy());
  return shim;
}
