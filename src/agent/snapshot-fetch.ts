import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, createReadStream, mkdirSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { Client, type Server, type ServerWritableStream } from '@grpc/grpc-js';
import { assertRoom } from '../checkpoint/durable.js';
import { asTrainerError, TrainerError } from '../errors.js';
import { PRIVATE_FOLDER } from '../os/make-folder.js';
import type {
  FetchChunk,
  FetchRequest,
  ShardFile,
  SnapshotFile,
  SnapshotsHandlers,
} from '../rpc/generated/messages.js';
import { loadProto } from '../rpc/load-proto.js';
import type { Security } from '../rpc/security.js';
import { toServiceError } from '../rpc/status.js';

const CHUNK_BYTES = 1 << 20;
const service = loadProto('collectives', 'locmoe.collectives.v1.Snapshots');

export interface SentFiles {
  readonly files: readonly { readonly path: string; readonly about: ShardFile }[];
  readonly metrics: Readonly<Record<string, number>>;
}

export interface FetchedFiles {
  readonly files: readonly ShardFile[];
  readonly metrics: Readonly<Record<string, number>>;
}

/** Serves the files of snapshots; `find` looks up the requested ones, and may wait for them. */
export function serveSnapshots(server: Server, find: (request: FetchRequest) => Promise<SentFiles>): void {
  const handlers: SnapshotsHandlers = {
    Fetch: (call) => {
      send(call, find).catch((error: unknown) => call.emit('error', toServiceError(error)));
    },
  };
  server.addService(service, handlers);
}

async function send(
  call: ServerWritableStream<FetchRequest, FetchChunk>,
  find: (request: FetchRequest) => Promise<SentFiles>,
): Promise<void> {
  const gone = new AbortController();
  call.once('cancelled', () => gone.abort());
  const write = async (chunk: FetchChunk) => {
    if (!call.write(chunk)) await once(call, 'drain', { signal: gone.signal });
  };
  const { files, metrics } = await find(call.request);
  try {
    for (const { path: from, about } of files) {
      await write({ chunk: 'file', file: { ...about, metrics } });
      for await (const data of createReadStream(from, { highWaterMark: CHUNK_BYTES, signal: gone.signal }))
        await write({ chunk: 'data', data });
    }
    call.end();
  } catch (error) {
    if (!gone.signal.aborted) throw error;
  }
}

export interface FetchOptions {
  /** host:port of the agent that holds the files. */
  readonly address: string;
  readonly security: Security;
  readonly request: FetchRequest;
  readonly folder: string;
  /** File names that are accepted. */
  readonly allowed: readonly string[];
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/**
 * Fetches files of a snapshot from another node.
 *
 * @throws TrainerError `NODE_LOST` if that node does not send them in time; `BAD_MESSAGE` if it sends other
 *   or damaged files; `DISK_FULL`
 */
export async function fetchSnapshot(options: FetchOptions): Promise<FetchedFiles> {
  const { address, security, request, timeoutMs, signal } = options;
  const client = new Client(address, security.channelCredentials, security.clientOptions);
  const { path: method, requestSerialize, responseDeserialize } = service.Fetch;
  const call = client.makeServerStreamRequest(method, requestSerialize, responseDeserialize, request, {
    deadline: Date.now() + timeoutMs,
  });
  const cancel = () => call.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  const into = new Incoming(options);
  try {
    for await (const chunk of call) into.add(chunk as FetchChunk);
    return into.end();
  } catch (error) {
    if (error instanceof TrainerError) throw error;
    throw new TrainerError(
      'NODE_LOST',
      `the snapshot of step ${request.step} cannot be fetched from ${address}: ${asTrainerError(error).message}`,
    );
  } finally {
    into.close();
    signal.removeEventListener('abort', cancel);
    client.close();
  }
}

/** Writes files as they arrive, and checks each. */
class Incoming {
  readonly #folder: string;
  readonly #allowed: Set<string>;
  readonly #files: ShardFile[] = [];
  #metrics: Readonly<Record<string, number>> = {};
  #open: { readonly about: ShardFile; readonly fd: number; bytes: number } | null = null;
  #hash = createHash('sha256');

  constructor({ folder, allowed }: Pick<FetchOptions, 'folder' | 'allowed'>) {
    this.#folder = folder;
    this.#allowed = new Set(allowed);
    mkdirSync(folder, { recursive: true, mode: PRIVATE_FOLDER });
  }

  add(chunk: FetchChunk): void {
    if (chunk.chunk === 'file') {
      this.#finishFile();
      this.#begin(chunk.file);
    } else this.#write(chunk.data);
  }

  end(): FetchedFiles {
    this.#finishFile();
    return { files: this.#files, metrics: this.#metrics };
  }

  close(): void {
    if (this.#open !== null) closeSync(this.#open.fd);
    this.#open = null;
  }

  #begin({ metrics, ...about }: SnapshotFile): void {
    // Each file is accepted once.
    if (!this.#allowed.delete(about.file)) throw bad(`file ${about.file}, which is not of that node`);
    assertRoom(this.#folder, about.bytes, 'a snapshot');
    this.#metrics = metrics;
    this.#hash = createHash('sha256');
    this.#open = { about, fd: openSync(path.join(this.#folder, about.file), 'w'), bytes: 0 };
  }

  #write(data: Buffer): void {
    const open = this.#open;
    if (open === null) throw bad('bytes of no file');
    if (open.bytes + data.length > open.about.bytes) throw bad(`too many bytes of ${open.about.file}`);
    for (let at = 0; at < data.length; ) at += writeSync(open.fd, data, at);
    this.#hash.update(data);
    open.bytes += data.length;
  }

  #finishFile(): void {
    const open = this.#open;
    if (open === null) return;
    this.close();
    const { file, bytes, sha256 } = open.about;
    if (open.bytes !== bytes || this.#hash.digest('hex') !== sha256) throw bad(`a damaged ${file}`);
    this.#files.push(open.about);
  }
}

function bad(what: string): TrainerError {
  return new TrainerError('BAD_MESSAGE', `another node sent ${what} of a snapshot`);
}
