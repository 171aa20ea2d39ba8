// The messages of proto/coordinator.proto, in the form that load-proto.ts asks @grpc/proto-loader for.

export interface JoinRequest {
  readonly host: string;
  readonly pid: number;
  readonly dataAddress: string;
  readonly version: string;
  readonly formerNode?: number;
}

/** How a model grows from a dense checkpoint (checkpoint/inherit.ts). */
export interface Inheritance {
  readonly noise: number;
  readonly seed: number;
}

export interface JoinReply {
  readonly runId: string;
  readonly generation: number;
  readonly node: number;
  readonly configJson: string;
  readonly runDir: string;
  readonly datasetDir: string;
  readonly resumeFrom: string;
  readonly initFrom: string;
  readonly inheritance?: Inheritance | null;
  /** Counts the coordinator processes that have led the run. */
  readonly term: number;
}

export interface WorkerProgress {
  readonly rank: number;
  readonly pid: number;
  readonly step: number;
  readonly phase: string;
  readonly operation: string;
  readonly processState: string;
  readonly residentBytes: number;
  readonly idleMs: number;
  /** Of the operation; -1 where it has none. */
  readonly layer: number;
  /** Number of the operation, the same on every rank; 0 before the first. */
  readonly sequence: number;
  /** The rank whose bytes it waits for; -1 if none. */
  readonly waitingFor: number;
  /** For how long nothing has moved meanwhile. */
  readonly stalledMs: number;
  /** For how long a signal has stopped the process; 0 if it runs. */
  readonly stoppedMs: number;
}

export interface LayerReport {
  readonly layer: number;
  readonly routed: readonly number[];
  readonly kept: readonly number[];
  readonly sameWorker: number;
  readonly sameNode: number;
  readonly otherNode: number;
  readonly overCapacity: readonly number[];
  readonly notChosen: readonly number[];
  readonly capacity: readonly number[];
  readonly rowBytes: number;
  readonly cosineSum: number;
  readonly cosineCount: number;
}

export interface StepReport {
  readonly step: number;
  readonly rank: number;
  readonly loss: number;
  readonly auxiliaryLoss: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly tokens: number;
  /** Of these, with packed samples: targets that count in the loss; 0 or none in a run on text alone, where all do. */
  readonly answerTokens?: number;
  readonly stepMs: number;
  /** By part of the step (run/global-step.ts). */
  readonly partsMs: Readonly<Record<string, number>>;
  readonly layers: readonly LayerReport[];
  readonly bytesSameNode: number;
  readonly bytesOtherNode: number;
  /** Time inside all-to-alls, waiting included; part of `exchange` and `waiting`. */
  readonly allToAllMs: number;
  readonly allToAllWaitMs: number;
  /** CPU time of the process in the step, of all its threads. */
  readonly cpuMs: number;
  /** Time in which its main thread could run but had no processor. */
  readonly queuedMs: number;
  /**
   * Not applied, as loss or gradient was not finite; equal on all ranks. The two losses and the norm are then 0, as
   * JSON has no NaN, and there are no layers.
   */
  readonly skipped: boolean;
}

export interface DomainLoss {
  readonly domain: string;
  readonly loss: number;
  readonly tokens: number;
}

export interface ValidationReport {
  readonly step: number;
  readonly domains: readonly DomainLoss[];
}

/** A rank has copied its part of a checkpoint and waits for the word to write it. */
export interface SaveIntent {
  readonly rank: number;
  readonly step: number;
  readonly generation: number;
  /** Of this rank's tensors. */
  readonly bytes: number;
  /** No step follows: it must be saved. */
  readonly isLast: boolean;
  /** Step of a further checkpoint to keep; -1 for none. */
  readonly keepStep: number;
  /** For the manifest; those of the first rank count. */
  readonly metrics: Readonly<Record<string, number>>;
  /** CRC-32 of the parameters that all ranks share, which must be equal on all. */
  readonly sharedCrc32: number;
}

/** What a rank has written of a checkpoint. */
export interface ShardReport {
  readonly rank: number;
  readonly step: number;
  readonly generation: number;
  readonly files: readonly ShardFile[];
  /** Why the disk could not take them; empty if it could. */
  readonly noRoom: string;
}

/** A copy of the ranks' state in the memory of the nodes. */
export interface SnapshotRef {
  /** That took it. */
  readonly generation: number;
  readonly step: number;
}

/** A file of a checkpoint: its size, SHA-256 in hex, and the names of its tensors. */
export interface ShardFile {
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly tensors: readonly string[];
}

export interface WorkerFailure {
  readonly rank: number;
  readonly pid: number;
  readonly code: string;
  readonly message: string;
  readonly step: number;
  readonly layer: number;
  readonly operation: string;
  readonly timeMs: number;
  readonly exitCode: number;
  readonly signal: string;
}

export interface Heartbeat {
  readonly workers: readonly WorkerProgress[];
  readonly logQueueLines: number;
}

export interface LogBatch {
  readonly lines: readonly string[];
  readonly dropped: number;
}

export interface Peer {
  readonly node: number;
  readonly address: string;
  readonly host: string;
}

/** A node agent's side of the session; exactly one field is set. */
export type AgentEvent =
  | { readonly ready: Record<string, never> }
  | { readonly heartbeat: Heartbeat }
  | { readonly step: StepReport }
  | { readonly validation: ValidationReport }
  | { readonly saving: SaveIntent }
  | { readonly shards: ShardReport }
  | { readonly snapshot: SnapshotRef }
  | { readonly failure: WorkerFailure }
  | { readonly logs: LogBatch }
  | { readonly finished: { readonly stoppedEarly: boolean } }
  | { readonly stop: { readonly reason: string } }
  | { readonly leaving: Record<string, never> };

/** The coordinator's side of the session; exactly one field is set. */
export type CoordinatorCommand =
  | { readonly start: { readonly peers: readonly Peer[]; readonly snapshot?: SnapshotRef | null } }
  | { readonly begin: Record<string, never> }
  | { readonly writeShards: { readonly step: number } }
  | { readonly saveEnded: { readonly step: number; readonly committed: boolean } }
  | { readonly abort: { readonly reason: string } }
  | { readonly stop: { readonly reason: string } }
  | { readonly recorded: { readonly step: number } }
  | { readonly farewell: Record<string, never> }
  | { readonly examine: { readonly rank: number; readonly reason: string } }
  | { readonly rejoin: Record<string, never> }
  | { readonly fault: Fault };

/** A fault that a node inflicts on itself; one of the two is set. */
export interface Fault {
  readonly node: number;
  readonly link?: LinkFault;
  readonly failpoint?: FailpointFault;
}

export interface LinkFault {
  readonly seconds: number;
  /** 0: nothing passes. */
  readonly bytesPerS: number;
}

export interface FailpointFault {
  readonly rank: number;
  readonly specification: string;
}

/** A node agent's process. */
export interface NodeProcess {
  readonly node: number;
  readonly host: string;
  readonly pid: number;
}

/** A rank's own part of the last 200 steps: without waiting for others, nor for a processor. */
export interface RankSpeed {
  readonly rank: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Share of the steps' time that would be saved if the rank were as fast as the next slowest in each. */
  readonly lostShare: number;
}

export interface StatusReply {
  readonly runId: string;
  readonly generation: number;
  readonly state: string;
  readonly runDir: string;
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
  readonly tokensPerS: number;
  readonly secondsLeft: number;
  readonly workers: readonly WorkerProgress[];
  /** By rank; none before the first step. */
  readonly speeds: readonly RankSpeed[];
  readonly nodes: readonly NodeProcess[];
  readonly allowsFaults: boolean;
}

export interface LogsRequest {
  readonly level: string;
  readonly ranks: readonly number[];
  readonly sinceMs: number;
  readonly follow: boolean;
  readonly query: string;
  readonly before: number;
  readonly after: number;
}

export interface LogsReply {
  readonly lines: readonly LogLine[];
  readonly matrixJson: string;
}

export interface LogLine {
  readonly json: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly timeMs: number;
  readonly isContext: boolean;
  readonly group: number;
}
