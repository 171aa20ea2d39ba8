import { closeSync, ftruncateSync, openSync, rmSync, statfsSync, unlinkSync } from 'node:fs';
import { asTrainerError, TrainerError } from '../errors.js';
import { type Mapping, mapShared, reserve, unmap } from '../os/libc.js';
import { monotonicMs } from '../os/monotonic-clock.js';
import { ByteRing } from './byte-ring.js';
import { ControlBlock } from './control-block.js';
import { Doorbell } from './doorbell.js';
import { FlightRing } from './flight-ring.js';
import { SHM_DIR, segmentPath } from './segment-files.js';
import {
  ABORT_REASON,
  CONTROL,
  controlWord,
  flightWord,
  HEADER,
  ringByteOffset,
  ringControlWord,
  ringIndex,
  SEGMENT_MAGIC,
  SEGMENT_VERSION,
  type SegmentShape,
  segmentBytes,
} from './shm-layout.js';

/** Size of the largest buffer that every supported version of Node.js can view. */
const MAX_BYTES = 2 ** 31;
/** Space that the check leaves free for others in /dev/shm. */
const SPARE_BYTES = 64 << 10;

/** The shared memory of one node, which its agent creates and its workers attach. */
export class ShmSegment {
  #words: Int32Array;
  #bytes: Uint8Array;
  #linked = true;
  #open = true;

  private constructor(
    readonly path: string,
    readonly shape: SegmentShape,
    private readonly mapping: Mapping,
  ) {
    this.#words = new Int32Array(mapping.buffer);
    this.#bytes = new Uint8Array(mapping.buffer);
  }

  /**
   * Creates the segment of one node. Call `removeStaleSegments` once before.
   *
   * @throws TrainerError `NO_RESOURCE` if /dev/shm is too small: the memory is allocated here, so that no
   *   later write can kill a worker
   */
  static create(runId: string, generation: number, shape: SegmentShape): ShmSegment {
    const needed = segmentBytes(shape);
    const path = segmentPath(runId, generation, shape.node);
    assertSharedRoom(needed, freeSharedMemory());
    if (needed > MAX_BYTES)
      throw new TrainerError(
        'NO_RESOURCE',
        `the shared memory of this node would be ${needed} bytes; at most ${MAX_BYTES} can be mapped: ` +
          'lower cluster.ringBytes',
      );
    const segment = new ShmSegment(path, shape, makeFile(path, needed));
    const words = segment.#words;
    words[HEADER.version] = SEGMENT_VERSION;
    words[HEADER.generation] = generation;
    words[HEADER.node] = shape.node;
    words[HEADER.numNodes] = shape.numNodes;
    words[HEADER.workersPerNode] = shape.workersPerNode;
    words[HEADER.ringBytes] = shape.ringBytes;
    segment.#epoch[0] = performance.timeOrigin + performance.now() - monotonicMs();
    Atomics.store(words, HEADER.magic, SEGMENT_MAGIC);
    return segment;
  }

  /**
   * Attaches to the agent's segment.
   *
   * @throws TrainerError `INTERNAL` if the segment is missing, or of another generation, node or version
   */
  static attach(path: string, generation: number, place: Omit<SegmentShape, 'ringBytes'>): ShmSegment {
    const header = mapFile(path, 4096);
    const words = new Int32Array(header.buffer);
    const found = { magic: Atomics.load(words, HEADER.magic), version: words[HEADER.version] };
    const shape: SegmentShape = { ...place, ringBytes: words[HEADER.ringBytes]! };
    const wanted = [generation, place.node, place.numNodes, place.workersPerNode];
    const actual = [HEADER.generation, HEADER.node, HEADER.numNodes, HEADER.workersPerNode].map(
      (i) => words[i],
    );
    unmap(header);
    if (found.magic !== SEGMENT_MAGIC || found.version !== SEGMENT_VERSION)
      throw new TrainerError('INTERNAL', `${path} is no segment of this version of locmoe`);
    if (wanted.some((value, i) => value !== actual[i]))
      throw new TrainerError(
        'INTERNAL',
        `${path} holds generation, node, nodes, workers = ${actual.join(', ')}; this worker expects ` +
          `${wanted.join(', ')}`,
      );
    return new ShmSegment(path, shape, mapFile(path, segmentBytes(shape)));
  }

  get #epoch(): Float64Array {
    return new Float64Array(this.#words.buffer, HEADER.epoch * 4, 1);
  }

  /**
   * Offset between the machine's monotonic clock and ms since 1970: added to the monotonic clock, it gives a
   * time that all processes of the node share, however the wall clock is changed.
   */
  get monotonicEpochMs(): number {
    return this.#epoch[0]!;
  }

  /** Like `monotonicEpochMs`, but to be added to this process's `performance.now()`. */
  get epochMs(): number {
    return this.#epoch[0]! + monotonicMs() - performance.now();
  }

  get generation(): number {
    return this.#words[HEADER.generation]!;
  }

  /** Returns the ring from rank `source` to rank `destination`; at least one is on this node. */
  ring(source: number, destination: number): ByteRing {
    if (!this.#open) throw new TrainerError('INTERNAL', 'the shared memory is closed');
    const index = ringIndex(this.shape, source, destination);
    return new ByteRing(
      this.#words,
      this.#bytes,
      ringControlWord(this.shape, index),
      ringByteOffset(this.shape, index),
      this.shape.ringBytes,
    );
  }

  /** Returns the doorbell of a worker by its local rank, or of the agent (`workersPerNode`). */
  doorbell(block: number): Doorbell {
    const word = controlWord(block) + CONTROL.doorbell;
    return new Doorbell(this.#words, word, this.mapping.address + BigInt(word * 4));
  }

  control(block: number): ControlBlock {
    return new ControlBlock(this.#words, this.#bytes, controlWord(block));
  }

  /** Returns the flight ring of a worker, by its local rank. */
  flight(localRank: number): FlightRing {
    if (!this.#open) throw new TrainerError('INTERNAL', 'the shared memory is closed');
    return new FlightRing(this.#words, flightWord(this.shape, localRank));
  }

  /** Ends every wait of every worker with `ABORTED`; the first reason stays. */
  abort(reason: string): void {
    if (!this.#open || this.abortReason !== null) return;
    const text = Buffer.from(reason).subarray(0, ABORT_REASON.maxBytes);
    this.#bytes.set(text, ABORT_REASON.offset);
    this.#words[HEADER.abortReasonBytes] = text.length;
    Atomics.store(this.#words, HEADER.abort, 1);
    for (let local = 0; local < this.shape.workersPerNode; local++) this.doorbell(local).wake();
  }

  /** The reason why the run was aborted, or null. */
  get abortReason(): string | null {
    if (Atomics.load(this.#words, HEADER.abort) === 0) return null;
    const { offset } = ABORT_REASON;
    return Buffer.from(
      this.#bytes.subarray(offset, offset + this.#words[HEADER.abortReasonBytes]!),
    ).toString();
  }

  requestStop(): void {
    Atomics.store(this.#words, HEADER.stop, 1);
  }

  get stopRequested(): boolean {
    return Atomics.load(this.#words, HEADER.stop) === 1;
  }

  /** Removes the file. Attached processes keep the memory, which is freed with the last of them. */
  unlink(): void {
    if (!this.#linked) return;
    this.#linked = false;
    // Another program may have removed files in /dev/shm.
    rmSync(this.path, { force: true });
  }

  /**
   * Unmaps the segment. Its rings and doorbells must no longer be used; the control blocks stay readable, with their last state.
   */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const kept = this.mapping.buffer.slice(0, controlWord(this.shape.workersPerNode + 1) * 4);
    this.#words = new Int32Array(kept);
    this.#bytes = new Uint8Array(kept);
    unmap(this.mapping);
  }
}

function mapFile(path: string, bytes: number): Mapping {
  let fd: number;
  try {
    fd = openSync(path, 'r+');
  } catch (error) {
    throw new TrainerError('INTERNAL', `cannot attach to the shared memory of the node agent: ${error}`);
  }
  return mapShared(fd, bytes);
}

/** Creates and maps the file of a segment; leaves no file if it fails. */
function makeFile(path: string, bytes: number): Mapping {
  const fd = openSync(path, 'wx+', 0o600);
  try {
    ftruncateSync(fd, bytes);
  } catch (error) {
    closeSync(fd);
    unlinkSync(path);
    throw tooSmall(bytes, asTrainerError(error).message);
  }
  const errno = reserve(fd, bytes);
  if (errno !== 0) {
    closeSync(fd);
    unlinkSync(path);
    throw tooSmall(bytes, `reserving it failed with errno ${errno}`);
  }
  try {
    return mapShared(fd, bytes);
  } catch (error) {
    unlinkSync(path);
    throw error;
  }
}

/** Returns the bytes of shared memory that are still free. */
export function freeSharedMemory(): number {
  const { bavail, bsize } = statfsSync(SHM_DIR);
  return bavail * bsize;
}

/** @throws TrainerError `NO_RESOURCE` if one or several segments do not fit into the free memory */
export function assertSharedRoom(needed: number, free: number): void {
  if (needed + SPARE_BYTES > free) throw tooSmall(needed, `${free} bytes are free`);
}

function tooSmall(needed: number, available: string): TrainerError {
  return new TrainerError(
    'NO_RESOURCE',
    `the shared memory of this node needs ${needed} bytes in ${SHM_DIR}, but ${available}: ` +
      `lower cluster.ringBytes or raise the size of ${SHM_DIR} (shm_size of a container)`,
  );
}
