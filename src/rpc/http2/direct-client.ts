import http2 from 'node:http2';
import net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { NAME_HEADER, randomName, withName } from './connection-name.js';
import {
  encodeFrame,
  encodeWindowUpdates,
  FLAG,
  FRAME,
  FrameCutter,
  MOST_WINDOW_BYTES,
  messagePrefix,
  openingBytes,
} from './frames.js';

/** Receives the bytes of a call's messages. */
export interface ByteReceiver {
  /** Takes bytes as they come, cut anywhere. */
  take(bytes: Buffer): void;
  /** Returns memory for the next bytes, at most `max`; null if `take` has to see them first. */
  place(max: number): Uint8Array | null;
  /** Called when bytes have been written to the start of the last `place`. */
  filled(bytes: number): void;
}

export interface DirectCallOptions {
  readonly host: string;
  readonly port: number;
  /** Options of the TLS connection, such as ALPN; null for plain text. */
  readonly tls: tls.ConnectionOptions | null;
  readonly path: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly maxFrameBytes: number;
  readonly receiver: ByteReceiver;
}

/** Reads shorter than this are copied from a buffer, which then has the head of the next frame, too. */
const LEAST_DIRECT_BYTES = 8 << 10;
const SCRATCH_BYTES = 16 << 10;
const STREAM = 1;

/**
 * A gRPC call over a separate connection, whose messages bypass Node's HTTP/2: the socket reads the payload of DATA
 * frames into the memory that `receiver` gives. All other frames go to a session of `node:http2`, which sees headers,
 * settings and pings, but no data, so this class manages the flow-control windows.
 *
 * The peer may be any gRPC server. A server that knows connections by name may write DATA frames itself (DirectConnection).
 */
export class DirectCall {
  readonly stream: http2.ClientHttp2Stream;
  readonly session: http2.ClientHttp2Session;
  readonly #socket: net.Socket;
  readonly #shim: Duplex;
  readonly #cutter: FrameCutter;
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  readonly #name = randomName();
  /** Holds what the session writes until its SETTINGS are complete and the name is added; null from then on. */
  #opening: Buffer | null = Buffer.alloc(0);
  #isDirect = false;
  /** Bytes of DATA frames since the last update of the windows, padding included. */
  #received = 0;

  constructor(private readonly options: DirectCallOptions) {
    const { host, port, path, metadata, maxFrameBytes } = options;
    this.#cutter = new FrameCutter(
      {
        begin: ({ type, stream, length }) => {
          if (type !== FRAME.data || stream !== STREAM) return false;
          this.#received += length;
          return true;
        },
        payload: (bytes) => options.receiver.take(bytes),
        other: (_, encoded) => this.#shim.push(encoded),
        end: (header) => {
          if (header.flags & FLAG.endStream)
            this.#shim.push(
              encodeFrame({ type: FRAME.data, flags: FLAG.endStream, stream: STREAM }, Buffer.alloc(0)),
            );
          this.#updateWindows();
        },
      },
      maxFrameBytes,
    );
    const onread = {
      buffer: () => this.#nextPlace(),
      callback: (count: number, buffer: Uint8Array) => this.#read(count, buffer),
    };
    // Types of Node leave `onread` out of the options of TLS, which has it since version 14.
    const to = { host, port, onread };
    this.#socket = options.tls === null ? net.connect(to) : tls.connect(Object.assign({}, options.tls, to));
    this.#socket.setNoDelay(true);
    this.#shim = new Duplex({
      read: () => undefined,
      // The shim writes at once: this class's bytes have to come between two frames of the session, never within one.
      write: (chunk: Buffer, _, done) => {
        this.#send(chunk);
        done();
      },
      final: (done) => {
        this.#socket.end();
        done();
      },
      destroy: (error, done) => {
        this.#socket.destroy();
        done(error);
      },
    });
    this.#socket.on('end', () => this.#shim.push(null));
    this.#socket.on('error', (error) => this.#shim.destroy(error));
    this.#socket.on('close', () => this.#shim.destroy());

    this.session = http2.connect(`http://${net.isIPv6(host) ? `[${host}]` : host}:${port}`, {
      createConnection: () => this.#shim,
      settings: { enablePush: false, initialWindowSize: MOST_WINDOW_BYTES, maxFrameSize: maxFrameBytes },
    });
    this.session.on('error', () => undefined);
    this.session.once('connect', () => this.session.setLocalWindowSize(MOST_WINDOW_BYTES));
    this.stream = this.session.request(
      Object.assign(
        {
          ':method': 'POST',
          // The session sees no TLS, and would say `http` (RFC 9113, section 8.3.1).
          ':scheme': options.tls === null ? 'http' : 'https',
          ':path': path,
          te: 'trailers',
          'content-type': 'application/grpc+proto',
          [NAME_HEADER]: this.#name,
        },
        metadata,
      ),
    );
  }

  /** Resolves when the socket is closed, after which nothing is written to a place of the receiver. */
  get closed(): Promise<void> {
    return this.#socket.closed
      ? Promise.resolve()
      : new Promise((resolve) => this.#socket.once('close', () => resolve()));
  }

  write(message: Buffer): void {
    this.stream.write(Buffer.concat([messagePrefix(message.length), message]));
  }

  destroy(error?: Error): void {
    this.session.destroy(error);
    this.#socket.destroy();
  }

  #send(chunk: Buffer): void {
    if (this.#opening === null) {
      this.#socket.write(chunk);
      return;
    }
    this.#opening = Buffer.concat([this.#opening, chunk]);
    const length = openingBytes(this.#opening);
    if (length === null || this.#opening.length < length) return;
    this.#socket.write(
      Buffer.concat([
        withName(this.#opening.subarray(0, length), this.#name),
        this.#opening.subarray(length),
      ]),
    );
    this.#opening = null;
  }

  #nextPlace(): Uint8Array {
    const direct = this.#cutter.directBytes;
    const place = direct < LEAST_DIRECT_BYTES ? null : this.options.receiver.place(direct);
    this.#isDirect = place !== null && place.length > 0;
    return this.#isDirect ? place! : this.#scratch;
  }

  #read(count: number, buffer: Uint8Array): boolean {
    try {
      if (this.#isDirect) {
        this.options.receiver.filled(count);
        this.#cutter.skip(count);
      } else this.#cutter.push(Buffer.from(buffer.buffer, buffer.byteOffset, count));
    } catch (error) {
      this.destroy(error as Error);
      return false;
    }
    return true;
  }

  #updateWindows(): void {
    if (this.#received < MOST_WINDOW_BYTES / 8) return;
    this.#socket.write(encodeWindowUpdates(STREAM, this.#received));
    this.#received = 0;
  }
}
