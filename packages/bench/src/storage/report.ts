import { percent, table } from '../markdown.js';

/** One number of experts. MB are 10^6 bytes; bytes and times are of a step. */
export interface SizeFigures {
  /** Peak of all processes with experts in memory, and in a file. */
  readonly memoryKindMB: number;
  readonly residentMB: number;
  /** Of memory for experts with a file. */
  readonly budgetMB: number;
  /** Weights and moments of all experts. */
  readonly storedMB: number;
  /** Experts with tokens. */
  readonly touched: number;
  /** Share of these that was in memory. */
  readonly hits: number;
  readonly memoryKindStepMs: number;
  readonly stepMs: number;
  readonly stepTimeVsResident: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** For reads and writes of experts. */
  readonly exposedWaitMs: number;
}

export interface LimitFigures {
  readonly numExperts: number;
  readonly steps: number;
  readonly file: { readonly stepMs: number };
  /** How the run with experts in memory ended. */
  readonly memory: string;
}

export interface StorageFigures {
  /** By number of experts: a step touches the experts of one domain. */
  readonly experts: Readonly<Record<number, SizeFigures>>;
  /** A step may touch any. */
  readonly mixed: Readonly<Record<number, SizeFigures>>;
  /** Null if none could be set. */
  readonly limitMB: number | null;
  readonly limit: LimitFigures | null;
  readonly machine: string;
  readonly command: string;
}

export function markdownOf({ experts, mixed, limitMB, limit, machine, command }: StorageFigures): string {
  return `# Experts in a file

\`moe.expertStorage.kind: file\` against \`memory\`, both with \`train.expertUpdate: touched\`: one rank, 1,024 tokens a step, router
\`hash\`, one sparse layer of experts of 131,072 parameters, float32. The losses of both kinds are the same to the bit, or nothing
is reported. MB are 10^6 bytes. Memory is the peak of all processes of a run together (PSS, without page cache), the checkpoint
at its end included. Each column is one run of each kind, and the time of a step its median.

What this is: model size in fixed memory. What it is not: a faster training. PanGu-Sigma reports 6.3 times the throughput
for its separation of storage, against a baseline on accelerators that has to spread over more of them to hold the
experts; here both run on the same cores, and what is read from a disk only costs.

## A step touches the experts of its domain

Four groups of experts, one for each domain, and one sequence of 1,024 tokens a step, so of one domain. The domains take turns: the
experts of a step are not those of the step before. The budget of memory is that of one group of 512 experts. Smaller models fit
into it whole and read nothing; of 512 experts nearly every one is read in every step in which it has tokens, and written after
it. That is the worst case of a cache, and the least memory.

${tableOf(experts)}

## A step may touch any expert

One group of experts, four sequences of 256 tokens of all domains. A batch touches most experts of a small model, and of a large
one as many as it has different tokens, so the budget has to be larger.

${tableOf(mixed)}

## Where memory is limited

${limitText(limitMB, limit)}

Made by \`${command}\` on ${machine}.
`;
}

function tableOf(sizes: Readonly<Record<number, SizeFigures>>): string {
  const figures = Object.entries(sizes);
  const row = (title: string, of: (size: SizeFigures) => string) => [
    title,
    ...figures.map(([, size]) => of(size)),
  ];
  const mb = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  return table([
    ['experts', ...figures.map(([numExperts]) => numExperts)],
    row('weights and moments of all experts', ({ storedMB }) => `${storedMB} MB`),
    row('peak memory, experts in memory', ({ memoryKindMB }) => `${memoryKindMB} MB`),
    row('peak memory, experts in a file', ({ residentMB }) => `${residentMB} MB`),
    row('budget of it for experts', ({ budgetMB }) => `${budgetMB} MB`),
    row('experts with tokens in a step', ({ touched }) => touched.toFixed(0)),
    row('of these in memory before it', ({ hits }) => percent(hits)),
    row('read a step', ({ bytesIn }) => mb(bytesIn)),
    row('written a step', ({ bytesOut }) => mb(bytesOut)),
    row('wait for both a step', ({ exposedWaitMs }) => ms(exposedWaitMs)),
    row('step, experts in memory', ({ memoryKindStepMs }) => ms(memoryKindStepMs)),
    row('step, experts in a file', ({ stepMs }) => ms(stepMs)),
    row('times as long', ({ stepTimeVsResident }) => stepTimeVsResident.toFixed(2)),
  ]);
}

function limitText(limitMB: number | null, limit: LimitFigures | null): string {
  if (limitMB === null || limit === null)
    return 'Not measured: that takes more than `--quick`, and a memory cgroup, which root can make.';
  const { numExperts, steps, file, memory } = limit;
  return `${numExperts} experts, a step touches those of its domain, all processes of the run in a memory cgroup of ${limitMB} MB, in which page
cache counts.

| experts | what came of it |
| --- | --- |
| in a file | trains all ${steps} steps, ${file.stepMs.toFixed(1)} ms a step, and saves its checkpoint |
| in memory | ${memory} |`;
}
