import { TrainerError } from '../../../errors.js';
import { ANSWERED, type AnswerMemory, awaitAnswer, expectAnswer } from './answer.js';
import {
  BATCH,
  type DeviceCommand,
  type DeviceInfo,
  type DeviceValues,
  type Groups,
  READ_BYTES,
  type Shader,
  type Words,
} from './commands.js';

/** Deadline of an answer: of the start of a driver, or of all that was to be computed before a value is read. */
const ANSWER_WITHIN_MS = 60_000;
/** Greatest number of workgroups of a run in its first dimension. */
export const MOST_GROUPS = 32_768;

/** The thread that carries out the commands, and tells in `answer` that it has started, or has read. */
export interface DeviceThread {
  readonly answer: AnswerMemory;
  post(commands: readonly DeviceCommand[], transferred: readonly ArrayBuffer[]): void;
}

/**
 * A device of WebGPU that does in the background what it is told, until a value is read, for which the calling thread waits.
 * Buffers have numbers.
 */
export class Device {
  readonly info: DeviceInfo;
  #commands: DeviceCommand[] = [];
  #numCreated = 0;
  #numFreed = 0;
  readonly #shaders = new Set<string>();
  /** Memory into which values are read. */
  #read = new SharedArrayBuffer(1 << 16);
  /** Once set, a later answer may be that of an earlier read. */
  #failure: TrainerError | null = null;

  /** @throws TrainerError `NO_RESOURCE` if there is no adapter, or its driver fails */
  constructor(private readonly thread: DeviceThread) {
    this.info = JSON.parse(this.#wait('start')) as DeviceInfo;
  }

  /** Number of buffers that are not freed. */
  get numBuffers(): number {
    return this.#numCreated - this.#numFreed;
  }

  /** Creates a buffer with arbitrary content. @throws TrainerError `NO_RESOURCE` if the device has none of this size */
  create(bytes: number): number {
    if (bytes > this.info.tensorBytes)
      throw failure(
        `a tensor of ${bytes} bytes, and ${this.info.description} takes at most ${this.info.tensorBytes}`,
      );
    const buffer = this.#numCreated++;
    this.#add({ do: 'create', buffer, bytes });
    return buffer;
  }

  free(buffer: number): void {
    this.#numFreed++;
    this.#add({ do: 'free', buffer });
  }

  /** Creates a buffer with a copy of these values. */
  upload(values: Float32Array | Int32Array): number {
    const buffer = this.create(values.byteLength);
    if (values.length > 0) this.#add({ do: 'write', buffer, values: values.slice() as Words });
    return buffer;
  }

  /** Sets all elements of a buffer to zero. */
  clear(buffer: number): void {
    this.#add({ do: 'clear', buffer });
  }

  /** Runs a shader by `numGroups` workgroups, whose number is x + `MOST_GROUPS` y. */
  run(shader: Shader, buffers: readonly number[], params: readonly number[], numGroups: number): void {
    const y = Math.ceil(numGroups / MOST_GROUPS);
    this.runGrid(shader, buffers, params, [Math.min(numGroups, MOST_GROUPS), y]);
  }

  runGrid(shader: Shader, buffers: readonly number[], params: readonly number[], groups: Groups): void {
    if (!this.#shaders.has(shader.name)) {
      this.#shaders.add(shader.name);
      this.#add({ do: 'shader', shader });
    }
    this.#add({ do: 'run', shader: shader.name, buffers, params: Uint32Array.from(params), groups });
  }

  /** Copies `length` words; `begin` are indices of words. */
  copy(from: number, fromBegin: number, to: number, toBegin: number, length: number): void {
    if (length === 0) return;
    this.#add({ do: 'copy', from, fromByte: 4 * fromBegin, to, toByte: 4 * toBegin, bytes: 4 * length });
  }

  /** Waits for the first `length` values of a buffer; throws as `readAll`. */
  read(buffer: number, length: number): Float32Array<ArrayBuffer> {
    let read = new Float32Array(0);
    this.readAll([{ buffer, length }], (values) => (read = values.slice()));
    return read;
  }

  /**
   * Waits for values of buffers, once for as many as `READ_BYTES` hold.
   *
   * @param use is called in their order, with values that are valid during the call, in which nothing else may be read
   * @throws TrainerError `NO_RESOURCE` if the device failed at this or an earlier command, or does not answer
   */
  readAll(
    buffers: readonly DeviceValues[],
    use: (values: Float32Array<SharedArrayBuffer>, index: number) => void,
  ): void {
    for (let begin = 0; begin < buffers.length; ) {
      let end = begin;
      let length = 0;
      while (end < buffers.length && (end === begin || 4 * (length + buffers[end]!.length) <= READ_BYTES))
        length += buffers[end++]!.length;
      const values = this.#readTogether(buffers.slice(begin, end), length);
      for (let at = 0; begin < end; begin++) {
        use(values.subarray(at, at + buffers[begin]!.length), begin);
        at += buffers[begin]!.length;
      }
    }
  }

  #readTogether(from: readonly DeviceValues[], length: number): Float32Array<SharedArrayBuffer> {
    if (this.#failure !== null) throw this.#failure;
    if (length === 0) return new Float32Array(this.#read, 0, 0);
    const bytes = 4 * length;
    const memory = this.#read.byteLength < bytes ? new SharedArrayBuffer(bytes) : this.#read;
    if (bytes <= READ_BYTES) this.#read = memory;
    expectAnswer(this.thread.answer);
    this.#commands.push({ do: 'read', from, into: new Uint8Array(memory, 0, bytes) });
    this.#flush();
    this.#wait('reading a result');
    return new Float32Array(memory, 0, length);
  }

  /** Gives the device back; what is read later fails. */
  close(): void {
    this.#commands.push({ do: 'destroy' });
    this.#flush();
  }

  #add(command: DeviceCommand): void {
    this.#commands.push(command);
    if (this.#commands.length >= BATCH) this.#flush();
  }

  #flush(): void {
    this.thread.post(
      this.#commands,
      this.#commands.flatMap((command) => (command.do === 'write' ? [command.values.buffer] : [])),
    );
    this.#commands = [];
  }

  /** Waits until the thread has answered, and returns the message. */
  #wait(forWhat: string): string {
    const answer = awaitAnswer(this.thread.answer, ANSWER_WITHIN_MS);
    if (answer?.state === ANSWERED.done) return answer.text;
    const why = answer?.text ?? `no answer within ${ANSWER_WITHIN_MS / 1e3} s`;
    this.#failure = failure(`${forWhat}: ${why.replaceAll(/\s+/g, ' ')}`);
    throw this.#failure;
  }
}

function failure(what: string): TrainerError {
  return new TrainerError('NO_RESOURCE', `train.device webgpu: ${what}; train.device cpu does without`);
}

/** Returns a float's bits, as a parameter of a shader that reads it by `bitcast<f32>`. */
export function bitsOf(float: number): number {
  return new Uint32Array(Float32Array.of(float).buffer)[0]!;
}
