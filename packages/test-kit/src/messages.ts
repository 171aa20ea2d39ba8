import type { LinkSpeed } from 'locmoe/internal/agent/link-limit';
import type { RankProgress } from 'locmoe/internal/collectives/control-block';
import { asTrainerError, type ErrorCode, type ErrorContext } from 'locmoe/internal/errors';

export interface Layout {
  readonly numNodes: number;
  readonly workersPerNode: number;
}

export interface RankFailure {
  readonly code: ErrorCode;
  readonly line: string;
  readonly message: string;
  readonly context: ErrorContext;
}

export interface RankOutcome<T> {
  readonly rank: number;
  readonly result?: T;
  readonly error?: RankFailure;
  readonly signal: string | null;
}

/** Traffic of an agent to other nodes. */
export interface AgentStats {
  readonly framesSent: number;
  readonly bytesSent: number;
}

/** Start parameters of an agent process. */
export interface AgentSpec extends Layout {
  readonly node: number;
  readonly runId: string;
  readonly ringBytes: number;
  readonly timeoutMs: number;
  readonly interNodeLink: LinkSpeed | null;
  readonly program: string;
  readonly args: unknown;
}

export type ToAgent =
  | { readonly type: 'spec'; readonly spec: AgentSpec }
  | { readonly type: 'connect'; readonly addresses: readonly string[] }
  | { readonly type: 'abort'; readonly reason: string }
  | { readonly type: 'stop' }
  | { readonly type: 'progress' };

export type FromAgent =
  | { readonly type: 'listening'; readonly address: string; readonly segmentPath: string }
  | { readonly type: 'started'; readonly pids: readonly number[] }
  | { readonly type: 'rank'; readonly outcome: RankOutcome<unknown> }
  | { readonly type: 'error'; readonly error: RankFailure }
  | { readonly type: 'progress'; readonly progress: readonly RankProgress[] }
  | { readonly type: 'done'; readonly stats: AgentStats };

/** Start parameters of a worker process. */
export interface RankSpec extends Layout {
  readonly rank: number;
  readonly segmentPath: string;
  readonly timeoutMs: number;
  readonly args: unknown;
}

export type FromRank =
  | { readonly type: 'result'; readonly result: unknown }
  | { readonly type: 'error'; readonly error: RankFailure };

/** Converts an error to a plain object, for messages between processes. */
export function failureOf(thrown: unknown): RankFailure {
  const error = asTrainerError(thrown);
  const { code, line, message, context } = error;
  return { code, line: code === 'INTERNAL' ? `${line}\n${error.stack}` : line, message, context };
}
