import { readFileSync } from 'node:fs';
import { rankProgram } from '@locmoe/test-kit';
import { allReduce } from 'locmoe/internal/collectives/all-reduce';
import { type AllToAllForm, type AllToAllOptions, allToAll } from 'locmoe/internal/collectives/all-to-all';
import { barrier } from 'locmoe/internal/collectives/barrier';
import type { Transport } from 'locmoe/internal/collectives/transport';
import { addStats } from 'locmoe/internal/collectives/transport';
import { cpuSecondsOf } from 'locmoe/internal/os/process-info';
import { median, timeOf } from '../statistics.js';
import { type ExchangeCase, type Repetition, repetitionsOf, TRIALS, warmUpsOf } from './cases.js';

// A rank of the bench: runs all cases in order with the other ranks. Started by measure-ours.ts.

export interface ExchangeArgs {
  readonly cases: readonly ExchangeCase[];
  readonly repetition: Repetition;
}

export interface RankTimes {
  readonly ms: readonly number[];
  readonly bytesOtherNode: number;
  /** Memory of the node agent, reported by the first rank of each node; 0 from the others. */
  readonly agentCpuS: number;
  readonly agentStartBytes: number;
  readonly agentPeakBytes: number;
}

rankProgram((transport: Transport, { cases, repetition }: ExchangeArgs): RankTimes[] => {
  const isFirst = transport.topology.localRank === 0;
  const agentStartBytes = isFirst ? privatePeakBytes(process.ppid) : 0;
  compile(transport);
  return cases.map((each) => {
    const run = prepareExchange(transport, each);
    for (let i = 0; i < warmUpsOf(each); i++) run();
    const count = agreeOnCount(transport, run, repetition);
    transport.takeStats();
    const cpuBefore = isFirst ? cpuSecondsOf(process.ppid) : 0;
    const ms = Array.from({ length: count }, () => timeOf(run));
    barrier(transport, { purpose: 'timed' });
    return {
      ms,
      bytesOtherNode: addStats([transport.takeStats()]).bytesOtherNode,
      agentCpuS: isFirst ? cpuSecondsOf(process.ppid) - cpuBefore : 0,
      agentStartBytes,
      agentPeakBytes: isFirst ? privatePeakBytes(process.ppid) : 0,
    };
  });
});

/**
 * Lets the JIT compile both collectives before any is timed: the compiler competes for the cores for the
 * first 200 ms, and no peer has a JIT.
 */
function compile(transport: Transport): void {
  for (const collective of ['all-to-all', 'all-reduce'] as const) {
    const run = prepareExchange(transport, { collective, bytes: 1 << 16 });
    const count = agreeOnCount(transport, run, { caseMs: 500, least: 1, most: 20_000 });
    for (let i = 0; i < count; i++) run();
  }
}

/** Agrees on a number of repetitions, equal on all ranks: rank 0 derives it from its own timing. */
function agreeOnCount(transport: Transport, run: () => void, repetition: Repetition): number {
  const eachMs = median(Array.from({ length: TRIALS }, () => timeOf(run)));
  const mine = transport.topology.rank === 0 ? repetitionsOf(repetition, eachMs) : 0;
  const count = new Float32Array([mine]);
  allReduce(transport, { data: count, purpose: 'count' });
  return count[0]!;
}

/**
 * Returns the peak private resident memory of a process in bytes: `VmHWM` minus `RssShmem` (proc(5)). The
 * segment stays mapped for the lifetime of the agent, so both figures include its pages.
 */
function privatePeakBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
  return (kib('VmHWM') - kib('RssShmem')) * 1024;
}

/**
 * Returns element i of the block that `from` sends to `to`: exact in float32, different for every pair and
 * between neighbouring blocks.
 */
function element(from: number, to: number, i: number): number {
  return from * 32 + to + (i % 1021) / 1024;
}

/**
 * Prepares a collective with its buffers, and verifies it once.
 *
 * @throws Error naming the rank and the wrong element
 */
function prepareExchange(transport: Transport, { collective, bytes }: ExchangeCase): () => void {
  if (collective === 'all-reduce') return prepareAllReduce(transport, bytes / 4);
  return prepareAllToAll(transport, collective === 'all-to-all' ? 'hierarchical' : 'flat', bytes / 4);
}

function prepareAllToAll(transport: Transport, form: AllToAllForm, count: number): () => void {
  const { rank, worldSize } = transport.topology;
  const [sent, received] = [new Float32Array(worldSize * count), new Float32Array(worldSize * count)];
  for (let to = 0; to < worldSize; to++)
    for (let i = 0; i < count; i++) sent[to * count + i] = element(rank, to, i);
  const options: AllToAllOptions = {
    sends: parts(sent, count),
    receives: parts(received, count),
    purpose: 'bench',
  };
  const run = () => allToAll(transport, options, form);
  run();
  for (let from = 0; from < worldSize; from++)
    for (let i = 0; i < count; i++)
      check(rank, 'all-to-all', from * count + i, received[from * count + i]!, element(from, rank, i));
  return run;
}

/** Returns the bytes of each block of `count` elements. */
function parts(data: Float32Array, count: number): Uint8Array[][] {
  return Array.from({ length: data.length / count }, (_, i) => [
    new Uint8Array(data.buffer, i * count * 4, count * 4),
  ]);
}

function prepareAllReduce(transport: Transport, count: number): () => void {
  const { rank, worldSize } = transport.topology;
  const data = new Float32Array(count);
  for (let i = 0; i < count; i++) data[i] = (rank + 1) * (1 + (i % 13));
  const run = () => allReduce(transport, { data, purpose: 'bench' });
  run();
  const sum = (worldSize * (worldSize + 1)) / 2;
  for (let i = 0; i < count; i++) check(rank, 'all-reduce', i, data[i]!, sum * (1 + (i % 13)));
  // Zeros, so that repeated sums do not overflow.
  data.fill(0);
  return run;
}

function check(rank: number, what: string, i: number, actual: number, expected: number): void {
  if (actual !== expected)
    throw new Error(`rank ${rank}: element ${i} of the ${what} is ${actual} instead of ${expected}`);
}
