import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { rankProgram } from '@locmoe/test-kit';
import { allGather } from '../../src/collectives/all-gather.js';
import { allReduce } from '../../src/collectives/all-reduce.js';
import { type AllToAllForm, allToAll } from '../../src/collectives/all-to-all.js';
import { barrier } from '../../src/collectives/barrier.js';
import type { Transport } from '../../src/collectives/transport.js';
import { processInfo } from '../../src/os/process-info.js';
import { randomOf } from '../random.js';

// Random operations of random sizes; every rank draws the same ones and checks each of its results.

export interface EnduranceArgs {
  readonly seed: number;
  readonly operations: number;
  /** Holdings are measured after this many operations, and again at the end. */
  readonly settled: number;
}

/** Resources held by a rank and its agent. */
export interface Holding {
  readonly workerFiles: number;
  readonly agentFiles: number;
  /** Heap and external buffers after garbage collection. */
  readonly workerBytes: number;
  readonly workerResidentBytes: number;
  readonly agentResidentBytes: number;
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function holding(): Holding {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  const filesOf = (pid: number) => readdirSync(`/proc/${pid}/fd`).length;
  return {
    workerFiles: filesOf(process.pid),
    agentFiles: filesOf(process.ppid),
    workerBytes: heapUsed + arrayBuffers,
    workerResidentBytes: processInfo(process.pid).residentBytes,
    agentResidentBytes: processInfo(process.ppid).residentBytes,
  };
}

const MOST_BYTES = 24_000;

/** One operation of the random sequence. */
interface Draw {
  readonly transport: Transport;
  readonly seed: number;
  readonly index: number;
  /** Yields the same numbers on all ranks. */
  readonly random: () => number;
}

/** Byte i of what `source` sends to `destination`; it differs in every operation and every run. */
function byteAt({ seed, index }: Draw, source: number, destination: number, i: number): number {
  return (seed * 101 + index * 7 + source * 31 + destination * 17 + i * 13 + (i >> 8)) & 0xff;
}

function bytesOf(draw: Draw, source: number, destination: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = byteAt(draw, source, destination, i);
  return bytes;
}

function check(draw: Draw, actual: Uint8Array, source: number, destination: number): void {
  for (let i = 0; i < actual.length; i++)
    if (actual[i] !== byteAt(draw, source, destination, i))
      throw new Error(
        `operation ${draw.index} of seed ${draw.seed}: byte ${i} of ${actual.length} from rank ${source} is wrong`,
      );
}

/** Draws a length: mostly small, sometimes more than a ring holds, sometimes zero. */
function drawLength(random: () => number): number {
  return Math.floor(random() ** 4 * MOST_BYTES);
}

function exchange(draw: Draw, form: AllToAllForm): void {
  const { transport, random } = draw;
  const { rank, worldSize } = transport.topology;
  const everyone = Array.from({ length: worldSize }, (_, i) => i);
  const lengths = everyone.map(() => everyone.map(() => drawLength(random)));
  const received = everyone.map((source) => new Uint8Array(lengths[source][rank]));
  allToAll(
    transport,
    {
      sends: everyone.map((to) => [bytesOf(draw, rank, to, lengths[rank][to])]),
      receives: received.map((bytes) => [bytes]),
      purpose: 'endurance',
    },
    form,
  );
  for (const source of everyone) check(draw, received[source], source, rank);
}

function sum(draw: Draw): void {
  const { transport, seed, index, random } = draw;
  const { rank, worldSize } = transport.topology;
  const valueAt = (source: number, i: number) => (seed + index + source * 3 + i) % 1000;
  const data = new Float32Array(drawLength(random)).map((_, i) => valueAt(rank, i));
  allReduce(transport, { data, purpose: 'endurance' });
  for (const [i, value] of data.entries()) {
    let expected = 0;
    for (let source = 0; source < worldSize; source++) expected += valueAt(source, i);
    if (value !== expected) throw new Error(`operation ${index} of seed ${seed}: sum ${i} is wrong`);
  }
}

function gather(draw: Draw): void {
  const { transport, random } = draw;
  const { rank } = transport.topology;
  const mine = bytesOf(draw, rank, 0, drawLength(random));
  for (const [source, bytes] of allGather(transport, { mine, purpose: 'endurance' }).entries())
    check(draw, bytes, source, 0);
}

const OPERATIONS: readonly ((draw: Draw) => void)[] = [
  (draw) => exchange(draw, 'flat'),
  (draw) => exchange(draw, 'hierarchical'),
  sum,
  gather,
  ({ transport }) => barrier(transport, { purpose: 'endurance' }),
];

rankProgram((transport: Transport, { seed, operations, settled }: EnduranceArgs) => {
  const random = randomOf(seed);
  let early = holding();
  for (let index = 0; index < operations; index++) {
    OPERATIONS[Math.floor(random() * OPERATIONS.length)]({ transport, seed, index, random });
    if (index + 1 === settled) early = holding();
  }
  return { early, late: holding() };
});
