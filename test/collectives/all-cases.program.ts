import { rankProgram } from '@locmoe/test-kit';
import { allGather } from '../../src/collectives/all-gather.js';
import { allReduce, gradualAllReduce } from '../../src/collectives/all-reduce.js';
import { type AllToAllForm, allToAll, startAllToAll } from '../../src/collectives/all-to-all.js';
import { barrier } from '../../src/collectives/barrier.js';
import { addStats, type Transport } from '../../src/collectives/transport.js';

// Checks every collective over a table of sizes against a formula that every rank can compute itself.

/** Byte `i` of what `source` sends to `destination` in round `round`. */
function byteAt(source: number, destination: number, round: number, i: number): number {
  return (source * 31 + destination * 17 + round * 7 + i * 13 + (i >> 8)) & 0xff;
}

function pattern(source: number, destination: number, round: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = byteAt(source, destination, round, i);
  return bytes;
}

function expectBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  if (Buffer.compare(actual, expected) === 0) return;
  const at = expected.findIndex((byte, i) => byte !== actual[i]);
  throw new Error(`${what}: byte ${at} of ${expected.length} is ${actual[at]} instead of ${expected[at]}`);
}

/** Cuts bytes into parts of uneven sizes, an empty one among them. */
function cut(bytes: Uint8Array): Uint8Array[] {
  const third = Math.floor(bytes.length / 3);
  return [bytes.subarray(0, third), bytes.subarray(third, third), bytes.subarray(third)];
}

const LENGTHS: readonly ((source: number, destination: number) => number)[] = [
  () => 0,
  () => 1,
  () => 4099,
  (s, d) => ((s + d) % 3 === 0 ? 0 : 100 * s + d),
  (s, d) => (s === 0 ? 20_000 + d : 0),
  (s, d) => (d === 0 ? 20_000 + s : 3),
  (s, d) => 150_001 + 64 * s + d,
];

/** Prepares the input of a rank to the all-to-all of a round, and a check of its output. */
function prepareAllToAll(transport: Transport, round: number) {
  const { rank, worldSize } = transport.topology;
  const lengthOf = LENGTHS[round];
  const everyone = Array.from({ length: worldSize }, (_, i) => i);
  const received = everyone.map((source) => new Uint8Array(lengthOf(source, rank)).fill(0xee));
  return {
    options: {
      sends: everyone.map((to) => cut(pattern(rank, to, round, lengthOf(rank, to)))),
      receives: received.map((bytes) => [
        bytes.subarray(0, bytes.length >> 1),
        bytes.subarray(bytes.length >> 1),
      ]),
      purpose: 'dispatch',
      layer: round,
    },
    check: () => {
      for (const source of everyone)
        expectBytes(
          received[source],
          pattern(source, rank, round, lengthOf(source, rank)),
          `from rank ${source}`,
        );
    },
  };
}

function checkAllToAll(transport: Transport, form: AllToAllForm, round: number): void {
  const { options, check } = prepareAllToAll(transport, round);
  allToAll(transport, options, form);
  check();
}

/**
 * Several pending operations larger than the rings, interleaved with other collectives and finished in another order.
 */
function checkPending(transport: Transport, form: AllToAllForm): void {
  const rounds = [6, 2, 0, 4, 6].map((round) => prepareAllToAll(transport, round));
  const start = (options: Parameters<typeof startAllToAll>[1]) => startAllToAll(transport, options, form);
  const pending = rounds.map(({ options }, i) =>
    i === 1
      ? [start({ ...options, reach: 'other nodes' }), start({ ...options, reach: 'node' })].reverse()
      : [start(options)],
  );
  barrier(transport, { purpose: 'meanwhile' });
  checkAllReduce(transport, 100_003);
  for (const i of [3, 1, 0, 4, 2]) {
    for (const exchange of pending[i]) exchange.finish();
    rounds[i].check();
  }
}

const POWERS = Array.from({ length: 7 }, (_, i) => 10 ** i);

/**
 * Number of floats that fill more blocks than are in flight at once on the test's largest nodes, so that buffers are
 * reused.
 */
const MANY_BLOCKS = 1_700_003;

/** A value whose sums depend on the order of the additions. */
function valueAt(rank: number, i: number): number {
  return Math.fround(Math.sin(rank * 1.7 + i * 0.31) * POWERS[(rank * 5 + i) % 7]);
}

function valuesOf(rank: number, length: number): Float32Array {
  const values = new Float32Array(length);
  for (let i = 0; i < length; i++) values[i] = valueAt(rank, i);
  return values;
}

/** The documented order of the sum, element by element. */
function treeOf(values: readonly number[]): number {
  if (values.length === 1) return values[0];
  let half = 1;
  while (half * 2 < values.length) half *= 2;
  return Math.fround(treeOf(values.slice(0, half)) + treeOf(values.slice(half)));
}

/** Whether sums are bit-identical to the tree over all ranks. */
function isExact({ topology }: Transport): boolean {
  return Number.isInteger(Math.log2(topology.workersPerNode));
}

function checkAllReduce(transport: Transport, length: number): Float32Array {
  const { rank, worldSize } = transport.topology;
  const data = valuesOf(rank, length);
  allReduce(transport, { data, purpose: 'gradients' });
  const everyone = Array.from({ length: worldSize }, (_, i) => i);
  for (let i = 0; i < length; i += 1 + (length >> 9)) {
    const values = everyone.map((r) => valueAt(r, i));
    const expected = treeOf(values);
    const exact = isExact(transport) ? 0 : 1e-5 * values.reduce((s, v) => s + Math.abs(v), 0);
    if (!(Math.abs(data[i] - expected) <= exact))
      throw new Error(`sum ${i} of ${length} is ${data[i]}, not ${expected}`);
  }
  return data;
}

/**
 * Compares an all-reduce of a vector that is completed piece by piece from its end, with other collectives in between,
 * with one of the whole vector.
 */
function checkGradualAllReduce(transport: Transport, whole: Float32Array): void {
  const { rank } = transport.topology;
  const { length } = whole;
  const data = new Float32Array(length).fill(Number.NaN);
  const sum = gradualAllReduce(transport, { data, purpose: 'gradients' });
  const started = () => transport.takeStats()['all-reduce'].operations;
  started();
  const parts = 7;
  for (let part = parts - 1; part >= 0; part--) {
    const from = Math.floor((part * length) / parts);
    const end = Math.floor(((part + 1) * length) / parts);
    for (let i = from; i < end; i++) data[i] = valueAt(rank, i);
    sum.advance(from);
    if (part % 2 === 0) barrier(transport, { purpose: 'between' });
  }
  const inBackground = started() > 0;
  if (inBackground !== (transport.topology.numNodes > 1 && length > 4096))
    throw new Error(`${length} floats: ${inBackground ? 'something' : 'nothing'} was begun before the end`);
  sum.finish();
  for (let i = 0; i < length; i++)
    if (data[i] !== whole[i]) throw new Error(`gradual sum ${i} of ${length} is ${data[i]}, not ${whole[i]}`);
}

/** Between nodes in bfloat16: all ranks get identical results, close to the sum, and exact for integers of few bits. */
function checkRoundedAllReduce(transport: Transport, length: number): Float32Array {
  const { rank, worldSize, numNodes } = transport.topology;
  const everyone = Array.from({ length: worldSize }, (_, i) => i);
  const exact = Float32Array.from({ length }, (_, i) => ((rank + i) % 8) - 3);
  allReduce(transport, { data: exact, purpose: 'gradients', wirePrecision: 'bfloat16' });
  const data = valuesOf(rank, length);
  allReduce(transport, { data, purpose: 'gradients', wirePrecision: 'bfloat16' });
  let numRounded = 0;
  for (let i = 0; i < length; i += 1 + (length >> 9)) {
    const whole = everyone.reduce((sum, r) => sum + ((r + i) % 8) - 3, 0);
    if (exact[i] !== whole) throw new Error(`rounded sum ${i} of ${length} is ${exact[i]}, not ${whole}`);
    const values = everyone.map((r) => valueAt(r, i));
    const expected = treeOf(values);
    // Half a unit of the last of 8 bits in each summand, and again in the sum.
    const bound = 2 ** -7 * values.reduce((sum, value) => sum + Math.abs(value), 0);
    if (!(Math.abs(data[i] - expected) <= bound))
      throw new Error(`rounded sum ${i} of ${length} is ${data[i]}, far from ${expected}`);
    if (data[i] !== expected) numRounded++;
  }
  if (isExact(transport) && numNodes > 1 !== numRounded > 0)
    throw new Error(`${numRounded} of ${length} sums are rounded on ${numNodes} nodes`);
  return data;
}

/** The same in halves of the world, whose members are on different nodes if there are several. */
function checkRoundedGroups(transport: Transport): Float32Array {
  const { rank, worldSize } = transport.topology;
  const group = Array.from({ length: worldSize }, (_, i) => i).filter((r) => r % 2 === rank % 2);
  const data = valuesOf(rank, 5001);
  allReduce(transport, { data, group, purpose: 'replicas', wirePrecision: 'bfloat16' });
  for (let i = 0; i < data.length; i++) {
    const values = group.map((r) => valueAt(r, i));
    const bound = 2 ** -7 * values.reduce((sum, value) => sum + Math.abs(value), 0);
    const expected = values.reduce((sum, value) => sum + value, 0);
    if (!(Math.abs(data[i] - expected) <= bound))
      throw new Error(`sum ${i} of a group is ${data[i]}, far from ${expected}`);
  }
  return data;
}

/** Pairs {0,1}, {2,3} and so on; the last rank of an odd world is alone with an empty group. */
function checkGroups(transport: Transport): void {
  const { rank, worldSize } = transport.topology;
  const first = rank & ~1;
  const group = first + 1 < worldSize ? [first, first + 1] : [];
  const data = valuesOf(rank, 77);
  allReduce(transport, { data, group, purpose: 'replicas', layer: 2 });
  for (let i = 0; i < 77; i++) {
    const expected =
      group.length === 0 ? valueAt(rank, i) : Math.fround(valueAt(first, i) + valueAt(first + 1, i));
    if (data[i] !== expected) throw new Error(`group sum ${i} is ${data[i]}, not ${expected}`);
  }
}

function checkAllGather(transport: Transport, length: number): void {
  const { rank } = transport.topology;
  const all = allGather(transport, { mine: pattern(rank, 0, 9, length), purpose: 'counts' });
  for (const [source, bytes] of all.entries())
    expectBytes(bytes, pattern(source, 0, 9, length), `gathered ${source}`);
}

rankProgram((transport: Transport) => {
  const { rank } = transport.topology;
  transport.setProgress(1, 'forward');
  for (let round = 0; round < LENGTHS.length; round++) {
    checkAllToAll(transport, 'flat', round);
    checkAllToAll(transport, 'hierarchical', round);
  }
  checkPending(transport, 'flat');
  checkPending(transport, 'hierarchical');
  for (let i = 0; i < 50; i++) barrier(transport, { purpose: 'step' });
  const sums = [0, 1, 7, 4096, 4097, 100_003, MANY_BLOCKS].map((length) => checkAllReduce(transport, length));
  for (const sum of sums) checkGradualAllReduce(transport, sum);
  const rounded = [4097, MANY_BLOCKS].map((length) => checkRoundedAllReduce(transport, length));
  checkGroups(transport);
  const roundedOfGroup = checkRoundedGroups(transport);
  for (const length of [0, 1, 999, 30_001]) checkAllGather(transport, length);
  barrier(transport, { purpose: 'end' });
  const { operations, bytesSameNode, bytesOtherNode } = addStats([transport.takeStats()]);
  return { rank, sums, rounded, roundedOfGroup, operations, bytesSameNode, bytesOtherNode };
});
