// A rank of the bench: runs all cases in order with the other ranks. Started by measure-ours.ts.

import { readFileSync } from 'node:fs';
import { rankProgram } from '@locmoe/test-kit';
import { allReduce } from 'locmoe/internal/collectives/all-reduce';
import { barrier } from 'locmoe/internal/collectives/barrier';
import type { Transport } from 'locmoe/internal/collectives/transport';
import { addStats } from 'locmoe/internal/collectives/transport-stats';
import { cpuSecondsOf } from 'locmoe/internal/os/process-info';
import { median } from '../statistics.js';
import { timeOf } from '../time-of.js';
import { type ExchangeCase, type Repetition, repetitionsOf, TRIALS, warmUpsOf } from './cases.js';
import { prepareExchange } from './prepare-exchange.js';

export interface ExchangeArgs {
  readonly cases: readonly ExchangeCase[];
  readonly repetition: Repetition;
}

/** Result of one rank for one case. */
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

/** All ranks must repeat equally often: rank 0 decides from its own timing. */
function agreeOnCount(transport: Transport, run: () => void, repetition: Repetition): number {
  const eachMs = median(Array.from({ length: TRIALS }, () => timeOf(run)));
  const mine = transport.topology.rank === 0 ? repetitionsOf(repetition, eachMs) : 0;
  const count = new Float32Array([mine]);
  allReduce(transport, { data: count, purpose: 'count' });
  return count[0]!;
}

/**
 * Peak private resident memory of a process in bytes: `VmHWM` less `RssShmem` (proc(5)). The segment stays
 * mapped for the lifetime of the agent, so its pages are in both.
 */
function privatePeakBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kib = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]);
  return (kib('VmHWM') - kib('RssShmem')) * 1024;
}
