import {
  KIND_OF_CODE,
  OPERATION_CODES,
  type Operation,
  PHASES,
  type Phase,
} from '@locmoe/run-format/operations';
import { encodePurpose } from './purpose.js';
import { CONTROL } from './shm-layout.js';

/** A worker's progress, which its agent and neighbours read from shared memory. */
export interface RankProgress {
  /** 0 until the worker has attached. */
  readonly pid: number;
  readonly step: number;
  readonly phase: Phase;
  /** Increases with everything the worker does, and ten times a second while the worker waits. */
  readonly heartbeat: number;
  /** The current operation, or the last one if not `active`; null before the first. */
  readonly operation:
    | (Operation & {
        readonly sequence: number;
        readonly active: boolean;
        /** Start of the operation in ms since the epoch. */
        readonly startedAt: number;
        /** The rank whose bytes the worker waits for. */
        readonly waitingFor: number | null;
        /** Time in ms for which nothing has moved. */
        readonly stalledMs: number;
      })
    | null;
}

/** A worker's or the agent's control words in the segment: written by the owner, read by all. */
export class ControlBlock {
  readonly #startedAt: Float64Array;

  constructor(
    private readonly words: Int32Array,
    private readonly bytes: Uint8Array,
    private readonly base: number,
  ) {
    this.#startedAt = new Float64Array(words.buffer, (base + CONTROL.startedAt) * 4, 1);
  }

  get pid(): number {
    return Atomics.load(this.words, this.base + CONTROL.pid);
  }

  set pid(pid: number) {
    Atomics.store(this.words, this.base + CONTROL.pid, pid);
  }

  setProgress(step: number, phase: Phase): void {
    this.words[this.base + CONTROL.step] = step;
    this.words[this.base + CONTROL.phase] = PHASES.indexOf(phase);
    this.beat();
  }

  beat(): void {
    this.words[this.base + CONTROL.heartbeat]!++;
  }

  startOperation(operation: Operation, sequence: number): void {
    const words = this.words;
    const base = this.base;
    const purpose = encodePurpose(operation.purpose);
    words[base + CONTROL.sequence] = sequence;
    words[base + CONTROL.kind] = OPERATION_CODES[operation.kind];
    words[base + CONTROL.layer] = operation.layer ?? -1;
    words[base + CONTROL.purposeBytes] = purpose.length;
    this.bytes.set(purpose, (base + CONTROL.purpose) * 4);
    this.#startedAt[0] = Date.now();
    words[base + CONTROL.waitingFor] = -1;
    words[base + CONTROL.active] = 1;
    this.beat();
  }

  waitFor(rank: number, stalledMs: number): void {
    this.words[this.base + CONTROL.waitingFor] = rank;
    this.words[this.base + CONTROL.stalledMs] = stalledMs;
    this.beat();
  }

  endOperation(): void {
    this.words[this.base + CONTROL.waitingFor] = -1;
    this.words[this.base + CONTROL.stalledMs] = 0;
    this.words[this.base + CONTROL.active] = 0;
  }

  get progress(): RankProgress {
    const words = this.words;
    const base = this.base;
    const sequence = words[base + CONTROL.sequence]! >>> 0;
    const waitingFor = words[base + CONTROL.waitingFor]!;
    const layer = words[base + CONTROL.layer]!;
    const purposeAt = (base + CONTROL.purpose) * 4;
    const purpose = Buffer.from(
      this.bytes.subarray(purposeAt, purposeAt + words[base + CONTROL.purposeBytes]!),
    ).toString();
    return {
      pid: this.pid,
      step: words[base + CONTROL.step]!,
      phase: PHASES[words[base + CONTROL.phase]!] ?? 'starting',
      heartbeat: words[base + CONTROL.heartbeat]! >>> 0,
      operation:
        sequence === 0
          ? null
          : {
              sequence,
              kind: KIND_OF_CODE[words[base + CONTROL.kind]!]!,
              purpose,
              layer: layer < 0 ? undefined : layer,
              active: words[base + CONTROL.active] === 1,
              startedAt: this.#startedAt[0]!,
              waitingFor: waitingFor < 0 ? null : waitingFor,
              stalledMs: words[base + CONTROL.stalledMs]!,
            },
    };
  }
}
