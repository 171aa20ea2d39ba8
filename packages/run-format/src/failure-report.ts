import { z } from 'zod';
import type { DeepReadonly } from './deep-readonly.js';

const rankAtFailure = z.object({
  rank: z.number(),
  node: z.number().catch(0),
  step: z.number().catch(0),
  phase: z.string().catch(''),
  operation: z.string().catch(''),
  processState: z.string().catch(''),
  /** Time from the rank's last sign of life to the failure. */
  lastHeardMs: z.number().catch(0),
});
/** A rank when the run failed. */
export type RankAtFailure = DeepReadonly<z.output<typeof rankAtFailure>>;

/** In this schema, a field that is damaged or that an earlier version omitted reads as unknown. */
export const failureSchema = z.object({
  /** Wall-clock time of the failure, ms since 1970. */
  time: z.number().catch(0),
  generation: z.int().catch(0),
  code: z.string().catch('INTERNAL'),
  message: z.string().catch('its record does not say why'),
  /** The process to blame: a worker or, if `rank` is null, the agent of `node`. */
  rank: z.number().nullable().catch(null),
  node: z.number().nullable().catch(null),
  host: z.string().nullable().catch(null),
  pid: z.number().nullable().catch(null),
  exitCode: z.number().nullable().catch(null),
  signal: z.string().nullable().catch(null),
  step: z.int().nullable().catch(null),
  layer: z.number().nullable().catch(null),
  /** Phase and collective in which the failure occurred. */
  operation: z.string().nullable().catch(null),
  /** Folder of the checkpoint to resume from. */
  checkpoint: z.string().nullable().catch(null),
  /** Folder of a checkpoint that is skipped because it would lead to this failure again. */
  suspectCheckpoint: z.string().nullable().catch(null),
  resumeCommand: z.string().nullable().catch(null),
  /** Why the run was not restarted, if restarts were allowed. */
  notRestarted: z.string().nullable().catch(null),
  logsCommand: z.string().catch(''),
  /** Silence in ms of a rank that others blame; null if the rank reported the failure itself. */
  silentMs: z.number().nullable().catch(null),
  ranks: z.array(rankAtFailure).catch([]),
});
/**
 * `failure.json`: why a generation of a run failed, and how to resume. Fields are null where they do not
 * apply.
 */
export type FailureReport = DeepReadonly<z.output<typeof failureSchema>>;

/** The fields of a failure report that a resumed run needs; a file without the first two is not a report. */
export const pastFailureSchema = z.object({
  generation: z.int(),
  code: z.string(),
  step: failureSchema.shape.step,
  operation: failureSchema.shape.operation,
});
export type PastFailure = DeepReadonly<z.output<typeof pastFailureSchema>>;
