import { TrainerError } from '../errors.js';
import { groupBy } from '../group-by.js';
import { mapTuple } from '../map-tuple.js';
import { FlatArrays } from '../simd/index.js';
import {
  expertOf,
  type IsFrozen,
  inOrder,
  type ParameterGroup,
  type ParameterRange,
  type ParameterSpec,
  type StateArrays,
} from './parameter-group.js';

/** The values of an expert and Adam's moments. */
export type StoredArrays = readonly [values: Float32Array, m: Float32Array, v: Float32Array];

/** Storage of experts that are not in memory, by their index among the experts of this rank. */
export interface ExpertStorage {
  /** True if the storage already has the experts, so that none is initialized or loaded. */
  readonly isFilled: boolean;
  /** Reads an expert's values and moments m and v as last written; all zeros if none were written. */
  read(expert: number, into: StoredArrays): void;
  write(expert: number, from: StoredArrays): void;
  /** Announces that these experts are read soon. */
  willRead(experts: readonly number[]): void;
  close(): void;
}

export interface SlotOptions {
  /** Memory for values, gradients and moments of the resident experts; Infinity to keep all in memory. */
  readonly budgetBytes: number;
  /** Null if all experts are in memory. */
  readonly storage: ExpertStorage | null;
}

/** Counts since the start. */
export interface SlotStatistics {
  /** Number of experts with tokens, summed over all steps. */
  touched: number;
  /** Number of times that an expert was read. */
  reads: number;
  bytesIn: number;
  bytesOut: number;
  /** Time spent waiting for reads and writes. */
  waitMs: number;
}

/** An expert in memory. */
interface Resident {
  readonly slot: number;
  readonly ranges: readonly ParameterRange[];
}

const FLOAT_BYTES = 4;

/**
 * The experts of a rank where only those with tokens are updated: flat arrays of as many slots as a budget allows, each for one
 * expert. An expert that is needed takes the slot of the least recently used one. All experts have the same size.
 */
export class ExpertSlots implements ParameterGroup {
  readonly flat: FlatArrays<StateArrays>;
  readonly values: Float32Array;
  readonly gradients: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
  /** All experts of this rank, with their ranges in an array of one expert. */
  readonly experts: ReadonlyMap<string, readonly ParameterRange[]>;
  readonly statistics: SlotStatistics = { touched: 0, reads: 0, bytesIn: 0, bytesOut: 0, waitMs: 0 };
  readonly #storage: ExpertStorage | null;
  readonly #places: ReadonlyMap<string, number>;
  /** Number of float parameters of an expert. */
  readonly #size: number;
  readonly #numSlots: number;
  readonly #free: number[];
  /** Experts in memory, the least recently used first. */
  readonly #residents = new Map<string, Resident>();
  /** Experts in memory that differ from what is stored. */
  readonly #changed = new Set<string>();
  /** Experts in memory with gradients of the last step. */
  readonly #touched = new Set<string>();
  /** True while the gradients of the touched experts are needed. */
  #isStepOpen = false;

  /** @param onMove told which ranges have other elements, as an expert was loaded into them or evicted */
  constructor(
    specs: readonly ParameterSpec[],
    { budgetBytes, storage }: SlotOptions,
    private readonly onMove: (ranges: readonly ParameterRange[]) => void,
    isFrozen: IsFrozen = () => false,
  ) {
    this.experts = byExpert(specs, isFrozen);
    const names = [...this.experts.keys()];
    this.#places = new Map(names.map((name, place) => [name, place]));
    this.#storage = storage;
    this.#size = this.experts.get(names[0]!)?.at(-1)?.end ?? 0;
    this.#numSlots = Math.min(names.length, Math.max(1, Math.floor(budgetBytes / this.#bytesOf(1))));
    this.#free = Array.from({ length: this.#numSlots }, (_, i) => this.#numSlots - 1 - i);
    // The arrays are shared, so that the thread that saves experts can read them if there is no expert file.
    this.flat = new FlatArrays<StateArrays>(this.#numSlots * this.#size, 4, true);
    [this.values, this.gradients, this.m, this.v] = this.flat.arrays;
  }

  /** True if experts can be outside memory. */
  get isStored(): boolean {
    return this.#storage !== null;
  }

  /** True if the storage already has the experts. */
  get isFilled(): boolean {
    return this.#storage?.isFilled ?? false;
  }

  /** Ranges of the experts in memory. */
  get ranges(): readonly ParameterRange[] {
    return [...this.#residents.values()].flatMap(({ ranges }) => ranges);
  }

  get trained(): readonly ParameterRange[] {
    return this.ranges.filter(({ frozen }) => !frozen);
  }

  /**
   * Loads an expert into memory if it is not there.
   *
   * @returns the expert's ranges, valid until another expert takes its slot
   */
  open(name: string): readonly ParameterRange[] {
    const resident = this.#residents.get(name) ?? this.#bring(name);
    // The expert moves to the end, as the most recently used.
    this.#residents.delete(name);
    this.#residents.set(name, resident);
    return resident.ranges;
  }

  /** Opens an expert (`open`) to change it. */
  openToChange(name: string): readonly ParameterRange[] {
    this.willChange(name);
    return this.open(name);
  }

  /** Declares that an expert in memory will differ from what is stored. */
  willChange(name: string): void {
    this.#changed.add(name);
  }

  /** Tells whether the last step has left a gradient of the expert. */
  hasGradient(name: string): boolean {
    return this.#touched.has(name);
  }

  /**
   * Loads the experts that will have tokens in the next step, where they are known in advance.
   *
   * @param next experts of the step after that
   * @throws TrainerError `BAD_CONFIG` if the budget is too small for `names`
   */
  expect(names: readonly string[], next: readonly string[]): void {
    if (names.length > this.#numSlots) throw this.#tooSmall(names.length);
    this.#openAll(names);
    const absent = next.filter((name) => !this.#residents.has(name));
    this.#storage?.willRead(absent.map((name) => this.#places.get(name)!));
  }

  beginStep(): void {
    this.#touched.clear();
    this.#isStepOpen = true;
  }

  /**
   * Declares that experts have tokens in this step: they stay in memory until its end, with gradients that start at zero.
   *
   * @throws TrainerError `BAD_CONFIG` if the budget is too small
   */
  touch(names: readonly string[]): void {
    const added = names.filter((name) => !this.#touched.has(name));
    const most = this.#touched.size + added.length;
    if (most > this.#numSlots) throw this.#tooSmall(most);
    this.statistics.touched += added.length;
    this.#openAll(added);
    for (const name of added) {
      this.#touched.add(name);
      for (const { begin, end } of this.open(name)) this.gradients.fill(0, begin, end);
    }
  }

  endStep(): void {
    this.#isStepOpen = false;
  }

  /** Writes the changed experts to the storage. */
  flush(): void {
    for (const name of this.#changed) this.#write(name, this.#residents.get(name)!);
    this.#changed.clear();
  }

  dispose(): void {
    this.#storage?.close();
  }

  /** Opens the experts that are in memory first, so that the others do not evict them. */
  #openAll(names: readonly string[]): void {
    for (const name of names) if (this.#residents.has(name)) this.open(name);
    for (const name of names) this.open(name);
  }

  #bring(name: string): Resident {
    const slot = this.#free.pop() ?? this.#vacate();
    const resident = { slot, ranges: this.#rangesIn(slot, name) };
    if (this.#storage !== null) {
      const arrays = this.#storedArrays(resident);
      this.#wait(() => this.#storage!.read(this.#places.get(name)!, arrays));
      this.statistics.reads++;
      this.statistics.bytesIn += bytesOf(arrays);
    }
    this.onMove(resident.ranges);
    return resident;
  }

  #vacate(): number {
    for (const [name, resident] of this.#residents) {
      if (this.#isStepOpen && this.#touched.has(name)) continue;
      if (this.#changed.delete(name)) this.#write(name, resident);
      this.#residents.delete(name);
      this.#touched.delete(name);
      this.onMove(resident.ranges);
      return resident.slot;
    }
    throw this.#tooSmall(this.#numSlots + 1);
  }

  #write(name: string, resident: Resident): void {
    if (this.#storage === null) return;
    const arrays = this.#storedArrays(resident);
    this.#wait(() => this.#storage!.write(this.#places.get(name)!, arrays));
    this.statistics.bytesOut += bytesOf(arrays);
  }

  #wait(run: () => void): void {
    const began = performance.now();
    run();
    this.statistics.waitMs += performance.now() - began;
  }

  #storedArrays({ slot }: Resident): StoredArrays {
    const [begin, end] = [slot * this.#size, (slot + 1) * this.#size];
    return mapTuple([this.values, this.m, this.v], (array) => array.subarray(begin, end));
  }

  #rangesIn(slot: number, name: string): ParameterRange[] {
    const at = slot * this.#size;
    return this.experts
      .get(name)!
      .map((range) => ({ ...range, begin: at + range.begin, end: at + range.end }));
  }

  /** Returns how many bytes of memory `numExperts` experts occupy. */
  #bytesOf(numExperts: number): number {
    return numExperts * 4 * FLOAT_BYTES * this.#size;
  }

  #tooSmall(numNeeded: number): TrainerError {
    const [budget, needed, all] = [this.#numSlots, numNeeded, this.experts.size].map(
      (count) => `${count} (${Math.ceil(this.#bytesOf(count) / 1e5) / 10} MB)`,
    );
    return new TrainerError(
      'BAD_CONFIG',
      `moe.expertStorage.budgetMB has room for ${budget} of this rank's experts, and a step needs at least ${needed} ` +
        `at the same time; there are ${all} in all`,
    );
  }
}

function byExpert(specs: readonly ParameterSpec[], isFrozen: IsFrozen): Map<string, ParameterRange[]> {
  const grouped = groupBy(specs, ({ name }) => expertOf(name));
  return new Map([...grouped].map(([expert, own]) => [expert, inOrder(own, isFrozen)]));
}

function bytesOf(arrays: readonly Float32Array[]): number {
  return arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

export function describeSlots({ touched, reads, bytesIn, bytesOut, waitMs }: SlotStatistics): string {
  const [read, written] = [bytesIn, bytesOut].map((bytes) => `${Math.round(bytes / 1e6)} MB`);
  return (
    `experts had tokens ${touched} times, and were read from the disk ${reads} times: ${read} read and ` +
    `${written} written in ${(waitMs / 1000).toFixed(1)} s`
  );
}
