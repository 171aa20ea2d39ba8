import { numStepsOf, STEP_PARTS } from '@locmoe/run-format';
import { z } from 'zod';
import { shardFiles } from '../checkpoint/shards.js';
import type { RunConfig } from '../config/schema.js';
import { ERROR_CODES, TrainerError } from '../errors.js';
import { assertFailpoints } from '../failpoint.js';
import { parseAddress } from '../rpc/address.js';
import type { AgentEvent, Fault, JoinRequest } from '../rpc/messages.js';
import type { RunState } from '../run/run-state.js';

// Numbers must be finite: workers report in JSON, which has no others.
const count = z.int().nonnegative();
const orNone = z.int().min(-1);
const amount = z.number().nonnegative();

const joinSchema = z.object({
  host: z.string().regex(/^[^\p{C}\s]{1,255}$/u, 'is no name of a machine'),
  pid: z.int().positive(),
  dataAddress: z.string().refine(isDialable, 'is no address HOST:PORT'),
  formerNode: count.optional(),
});

/** @throws TrainerError `BAD_MESSAGE` if the request is not what a node agent sends */
export function assertJoin(request: JoinRequest): void {
  assertFits(joinSchema, request, 'a request to join');
}

const SECONDS_AT_MOST = 3600;
const faultSchema = z.union([
  z.object({ link: z.object({ seconds: z.number().positive().max(SECONDS_AT_MOST), bytesPerS: amount }) }),
  z.object({ failpoint: z.object({ rank: count, specification: z.string().min(1) }) }),
]);

/** @throws TrainerError `BAD_INPUT` if it is no fault, or of a rank that is not on its node */
export function assertFault(fault: Fault, workersPerNode: number): void {
  const { failpoint, node } = fault;
  const isElsewhere = failpoint != null && Math.floor(failpoint.rank / workersPerNode) !== node;
  if (isElsewhere || !faultSchema.safeParse(fault).success)
    throw new TrainerError('BAD_INPUT', `no fault for node ${node}: ${JSON.stringify(fault)}`);
  // Here, because in a worker it would be an error that ends it.
  if (failpoint != null) assertFailpoints(failpoint.specification);
}

function isDialable(address: string): boolean {
  try {
    return parseAddress('', address).port > 0;
  } catch {
    return false;
  }
}

type EventKind = keyof typeof MAY_COME_IN;
type StateKind = RunState['kind'];

/** Events allowed in each state of the run. Once it is over any is: it may have been on its way. */
const BEFORE: readonly StateKind[] = ['waiting', 'starting', 'running', 'stopping'];
const MAY_COME_IN = {
  heartbeat: BEFORE,
  logs: BEFORE,
  stop: BEFORE,
  leaving: BEFORE,
  ready: ['starting'],
  failure: ['starting', 'running', 'stopping'],
  step: ['running', 'stopping'],
  validation: ['running', 'stopping'],
  saving: ['running', 'stopping'],
  shards: ['running', 'stopping'],
  snapshot: ['running', 'stopping'],
  finished: ['running', 'stopping'],
} as const satisfies Record<string, readonly StateKind[]>;

/** What the members of a run may send, each about its own ranks. */
export class AgentEventRules {
  readonly #schemas: readonly Readonly<Record<EventKind, z.ZodType>>[];

  constructor(config: RunConfig, generation: number) {
    this.#schemas = Array.from({ length: config.cluster.nodes }, (_, node) =>
      schemasOf(config, generation, node),
    );
  }

  /** @throws TrainerError `BAD_MESSAGE` that says what no agent of that node would send, or not now */
  assertAllowed(event: AgentEvent, node: number, state: StateKind): void {
    const [kind, another] = (Object.keys(MAY_COME_IN) as EventKind[]).filter((each) => each in event);
    if (kind === undefined) throw badMessage('an empty event');
    // The decoder keeps every member of a oneof that was sent: one would be checked and another used.
    if (another !== undefined) throw badMessage(`\`${kind}\` and \`${another}\` in one event`);
    const states: readonly StateKind[] = MAY_COME_IN[kind];
    if (BEFORE.includes(state) && !states.includes(state))
      throw badMessage(`\`${kind}\` while the run is ${state}`);
    assertFits(this.#schemas[node]![kind], (event as Record<EventKind, unknown>)[kind], `\`${kind}\``);
  }
}

function schemasOf(config: RunConfig, generation: number, node: number): Record<EventKind, z.ZodType> {
  const { cluster, model, moe, data } = config;
  const { workersPerNode } = cluster;
  const rank = z
    .int()
    .min(node * workersPerNode)
    .max((node + 1) * workersPerNode - 1);
  const numSteps = numStepsOf(config);
  const step = z.int().min(1).max(numSteps);
  const byExpert = z.array(count).length(moe.numExperts);
  const layer = z.object({
    layer: count.max(model.numDenseLayers + model.numSparseLayers - 1),
    routed: byExpert,
    kept: byExpert,
    overCapacity: byExpert,
    notChosen: byExpert,
    sameWorker: count,
    sameNode: count,
    otherNode: count,
    rowBytes: count,
    cosineCount: count,
    capacity: z.array(amount).length(moe.numExperts),
    cosineSum: z.number(),
  });
  const ofSave = { rank, step, generation: z.literal(generation) };
  // It speaks for the run, and comes from its first rank. Before the first step too: weights of another run (RunIdentity.initFrom).
  const validated = node === 0 ? count.max(numSteps) : z.never();
  return {
    ready: z.object({}),
    leaving: z.object({}),
    stop: z.object({ reason: z.string() }),
    finished: z.object({ stoppedEarly: z.boolean() }),
    logs: z.object({ lines: z.array(z.string()), dropped: count }),
    heartbeat: z.object({
      workers: z
        .array(
          z.object({
            rank,
            pid: count,
            step: count,
            residentBytes: count,
            idleMs: amount,
            layer: orNone,
            sequence: count,
            waitingFor: orNone,
            stalledMs: amount,
            stoppedMs: amount,
          }),
        )
        .max(workersPerNode),
      logQueueLines: count,
    }),
    step: z.object({
      step,
      rank,
      tokens: count,
      answerTokens: count.optional(),
      loss: z.number(),
      auxiliaryLoss: z.number(),
      gradientNorm: amount,
      learningRate: amount,
      // Some are differences, which rounding may take below 0.
      stepMs: z.number(),
      allToAllMs: z.number(),
      allToAllWaitMs: z.number(),
      cpuMs: amount,
      queuedMs: amount,
      bytesSameNode: amount,
      bytesOtherNode: amount,
      partsMs: z.partialRecord(z.enum(STEP_PARTS), z.number()),
      layers: z.array(layer).max(model.numSparseLayers),
      skipped: z.boolean(),
    }),
    validation: z.object({
      step: validated,
      domains: z
        .array(z.object({ domain: z.enum(data.domains), loss: z.number(), tokens: count }))
        .max(data.domains.length),
    }),
    snapshot: z.object({ step, generation: z.literal(generation) }),
    saving: z.object({
      ...ofSave,
      bytes: count,
      isLast: z.boolean(),
      keepStep: orNone,
      sharedCrc32: count,
      metrics: z.record(z.string(), z.number()),
    }),
    shards: z
      .object({
        ...ofSave,
        noRoom: z.string(),
        files: z.array(
          z.object({
            file: z.string(),
            bytes: count,
            tensors: z.array(z.string()),
            sha256: z.string().regex(/^[0-9a-f]{64}$/, 'is no SHA-256'),
          }),
        ),
      })
      .refine(
        (report) => areShardsOf(report.rank, config, report.files),
        'there are files that this rank does not write',
      ),
    failure: z.object({
      rank,
      pid: count,
      code: z.enum(ERROR_CODES),
      message: z.string(),
      timeMs: amount,
      step: orNone,
      layer: orNone,
      operation: z.string(),
      exitCode: orNone,
      signal: z.string(),
    }),
  };
}

/** Each at most once. */
function areShardsOf(
  rank: number,
  { cluster }: RunConfig,
  files: readonly { readonly file: string }[],
): boolean {
  const { shared, optimizerShared, state, ...experts } = shardFiles(
    rank,
    cluster.nodes * cluster.workersPerNode,
  );
  const allowed = new Set(
    Object.values(rank === 0 ? { shared, optimizerShared, state, ...experts } : experts),
  );
  return files.every(({ file }) => allowed.delete(file));
}

function assertFits(schema: z.ZodType, message: unknown, what: string): void {
  const issue = schema.safeParse(message).error?.issues[0];
  if (issue === undefined) return;
  const place = issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  throw badMessage(`${what} that it must not: ${place}${issue.message}`);
}

function badMessage(what: string): TrainerError {
  return new TrainerError('BAD_MESSAGE', `it sent ${what}`);
}
