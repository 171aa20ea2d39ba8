import { findProblem, numStepsOf, rankMeasures, START_PARTS, STEP_PARTS } from '@locmoe/run-format';
import { z } from 'zod';
import { shardFiles } from '../checkpoint/shards.js';
import type { RunConfig } from '../config/schema.js';
import { ERROR_CODES, TrainerError } from '../errors.js';
import { assertFailpoints } from '../failpoint.js';
import { parseAddress } from '../rpc/address.js';
import type * as wire from '../rpc/generated/messages.js';
import type { RunState } from '../run/run-state.js';

// The decoder guarantees the types of the fields (rpc/load-proto.ts); the schemas add the bounds beyond them.
const atLeastNone = z.int().min(-1);
const amount = z.number().nonnegative();
/** The decoder may round a uint64 that exceeds JavaScript's safe integers. */
const bytes = z.int();

function bounds<Message>(fields: { readonly [Field in keyof Message]?: z.ZodType<Message[Field]> }) {
  return z.looseObject(fields as z.ZodRawShape) as unknown as z.ZodType<Message>;
}

const joinBounds = bounds<wire.JoinRequest>({
  host: z.string().regex(/^[^\p{C}\s]{1,255}$/u, 'is no name of a machine'),
  pid: z.int().positive(),
  dataAddress: z.string().refine(isDialable, 'is no address HOST:PORT'),
});

/** @throws TrainerError `BAD_MESSAGE` if the request is not what a node agent sends */
export function assertJoin(request: wire.JoinRequest): void {
  assertFits(joinBounds, request, 'a request to join');
}

const SECONDS_AT_MOST = 3600;
const faultBounds = z.discriminatedUnion('fault', [
  z.object({
    fault: z.literal('link'),
    link: bounds<wire.LinkFault>({ seconds: z.number().positive().max(SECONDS_AT_MOST), bytesPerS: amount }),
  }),
  z.object({
    fault: z.literal('failpoint'),
    failpoint: bounds<wire.FailpointFault>({ specification: z.string().min(1) }),
  }),
]);

/** @throws TrainerError `BAD_INPUT` if the message is not a fault, or names a rank that is not on its node */
export function assertFault(fault: wire.Fault, workersPerNode: number): void {
  const failpoint = fault.fault === 'failpoint' ? fault.failpoint : null;
  const isElsewhere = failpoint !== null && Math.floor(failpoint.rank / workersPerNode) !== fault.node;
  if (isElsewhere || !faultBounds.safeParse(fault).success)
    throw new TrainerError('BAD_INPUT', `no fault for node ${fault.node}: ${JSON.stringify(fault)}`);
  // The check is made here, because a bad specification would end the worker with an error.
  if (failpoint !== null) assertFailpoints(failpoint.specification);
}

function isDialable(address: string): boolean {
  try {
    return parseAddress('', address).port > 0;
  } catch {
    return false;
  }
}

type EventKind = wire.AgentEvent['event'];
type StateKind = RunState['kind'];

/** States of the run in which each event is allowed; after its end all are, as they may be in flight. */
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
} as const satisfies Record<EventKind, readonly StateKind[]>;

/** Validates the events that members of a run send, each about its own ranks. */
export class AgentEventRules {
  readonly #bounds: readonly Readonly<Partial<Record<EventKind, z.ZodType>>>[];

  constructor(config: RunConfig, generation: number) {
    this.#bounds = Array.from({ length: config.cluster.nodes }, (_, node) =>
      boundsOf(config, generation, node),
    );
  }

  /** @throws TrainerError `BAD_MESSAGE` if no agent of that node would send the event, or not in this state */
  assertAllowed(event: wire.AgentEvent, node: number, state: StateKind): void {
    const [kind, another] = (Object.keys(MAY_COME_IN) as EventKind[]).filter((each) => each in event);
    if (kind === undefined) throw badMessage('an empty event');
    // The decoder keeps every member of a oneof that was sent: one would be checked and another used.
    if (another !== undefined) throw badMessage(`\`${kind}\` and \`${another}\` in one event`);
    const states: readonly StateKind[] = MAY_COME_IN[kind];
    if (BEFORE.includes(state) && !states.includes(state))
      throw badMessage(`\`${kind}\` while the run is ${state}`);
    assertFits(
      this.#bounds[node]![kind],
      (event as Partial<Record<EventKind, object>>)[kind]!,
      `\`${kind}\``,
    );
  }
}

function boundsOf(
  config: RunConfig,
  generation: number,
  node: number,
): Partial<Record<EventKind, z.ZodType>> {
  const { cluster, model, moe, data } = config;
  const { workersPerNode } = cluster;
  const rank = z
    .int()
    .min(node * workersPerNode)
    .max((node + 1) * workersPerNode - 1);
  const numSteps = numStepsOf(config);
  const step = z.int().min(1).max(numSteps);
  const layer = bounds<wire.LayerReport>({
    layer: z.int().max(model.numDenseLayers + model.numSparseLayers - 1),
  }).superRefine((report, { addIssue }) => {
    const problem = findProblem(report.measures, moe.numExperts);
    if (problem !== null) addIssue(problem);
  });
  const ofSave = { rank, step, generation: z.literal(generation) };
  return {
    heartbeat: bounds<wire.Heartbeat>({
      workers: z
        .array(
          bounds<wire.WorkerProgress>({
            rank,
            residentBytes: bytes,
            idleMs: amount,
            layer: atLeastNone,
            waitingFor: atLeastNone,
            stalledMs: amount,
            stoppedMs: amount,
          }),
        )
        .max(workersPerNode),
    }),
    // Times of a step that have no bound are differences, which rounding may take below 0.
    step: bounds<wire.StepReport>({
      step,
      rank,
      measures: rankMeasures,
      gradientNorm: amount,
      learningRate: amount,
      cpuMs: amount,
      queuedMs: amount,
      bytesSameNode: amount,
      bytesOtherNode: amount,
      rowBytesTo: z.array(bytes.nonnegative()).length(cluster.nodes * workersPerNode),
      partsMs: z.partialRecord(z.enum(STEP_PARTS), z.number()),
      startMs: z.partialRecord(z.enum(START_PARTS), z.number()),
      layers: z.array(layer).max(model.numSparseLayers),
    }),
    validation: bounds<wire.ValidationReport>({
      // The first node reports for the whole run. Step 0 is the loss before training, of weights of another run
      // (RunIdentity.initFrom).
      step: node === 0 ? z.int().max(numSteps) : z.never(),
      domains: z.array(bounds<wire.DomainLoss>({ domain: z.enum(data.domains) })).max(data.domains.length),
    }),
    snapshot: bounds<wire.SnapshotRef>({ step, generation: ofSave.generation }),
    leaving: bounds<wire.Leaving>({
      snapshots: z
        .array(bounds<wire.SnapshotRef>({ step, generation: z.int().min(1).max(generation) }))
        .max(2),
    }),
    saving: bounds<wire.SaveIntent>({ ...ofSave, bytes, keepStep: atLeastNone }),
    shards: bounds<wire.ShardReport>({
      ...ofSave,
      files: z.array(
        bounds<wire.ShardFile>({ bytes, sha256: z.string().regex(/^[0-9a-f]{64}$/, 'is no SHA-256') }),
      ),
    }).refine((report) => areShardsOf(report, config), 'there are files that this rank does not write'),
    failure: bounds<wire.WorkerFailure>({
      rank,
      code: z.enum(ERROR_CODES),
      timeMs: amount,
      step: atLeastNone,
      layer: atLeastNone,
      exitCode: atLeastNone,
    }),
  };
}

/** Tells whether the rank writes these files, each at most once. */
function areShardsOf({ rank, files }: wire.ShardReport, { cluster }: RunConfig): boolean {
  const worldSize = cluster.nodes * cluster.workersPerNode;
  const { shared, optimizerShared, state, ...experts } = shardFiles(rank, worldSize);
  const allowed = new Set(
    Object.values(rank === 0 ? { shared, optimizerShared, state, ...experts } : experts),
  );
  return files.every(({ file }) => allowed.delete(file));
}

function assertFits(schema: z.ZodType | undefined, message: object, what: string): void {
  const issue = findNotFinite(message) ?? schema?.safeParse(message).error?.issues[0];
  if (issue === undefined) return;
  const place = issue.path.length === 0 ? '' : `${issue.path.join('.')}: `;
  throw badMessage(`${what} that is invalid: ${place}${issue.message}`);
}

/** Finds the first number that is not finite, which no worker sends, since JSON cannot express it. */
function findNotFinite(message: object): Pick<z.core.$ZodIssue, 'path' | 'message'> | undefined {
  for (const [field, value] of Object.entries(message)) {
    if (typeof value === 'number' && !Number.isFinite(value))
      return { path: [field], message: `Invalid input: expected number, received ${value}` };
    const inside = typeof value === 'object' && value !== null ? findNotFinite(value) : undefined;
    if (inside !== undefined) return { ...inside, path: [field, ...inside.path] };
  }
  return undefined;
}

function badMessage(what: string): TrainerError {
  return new TrainerError('BAD_MESSAGE', `it sent ${what}`);
}
