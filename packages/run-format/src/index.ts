export type { DeepReadonly } from './deep-readonly.js';
export type { FailureReport, PastFailure, RankAtFailure } from './failure-report.js';
export {
  type FlightFile,
  type RankFlight,
  readFlight,
  writeFlightFile,
} from './flight-file.js';
export {
  type FlightRank,
  type FlightReport,
  lagOf,
  type MergedOperation,
  reportFlight,
} from './flight-report.js';
export {
  FLIGHT,
  type OperationSpan,
  operationsOf,
  PART_CODE,
  type RecordedOperation,
  type RecordedSpan,
  readSlot,
} from './flight-span.js';
export {
  droppedShare,
  expertsPerToken,
  type GlobalLayer,
  type GlobalStep,
  locality,
  STEP_PARTS,
  type StepPart,
} from './global-step.js';
export { Journal, readJournal } from './journal.js';
export {
  type JournalEntry,
  type JournalEvent,
  type JournalMember,
  type JournalStart,
  lostSecondsOf,
  RECOVERY_SPANS,
  type RecoveryAccount,
  type RecoveryBill,
  START_PARTS,
  type StartPart,
} from './journal-events.js';
export {
  findProblem,
  LAYER_MEASURES,
  type LayerMeasureName,
  type LayerNumbers,
  measureOverRanks,
  reportMeasures,
} from './layer-measures.js';
export {
  encodeManifest,
  type FileDigest,
  generationOf,
  MANIFEST_FILE,
  type Manifest,
  readManifest,
  stepFolder,
  stepOf,
  TOKENIZER_FILE,
} from './manifest.js';
export { MetricsReader, type OpenMetrics, type RecordSink } from './metrics-reader.js';
export {
  type CheckpointReport,
  type GenerationStart,
  lastRecords,
  type MetricsRecord,
  type MetricsRecordOf,
  meanLoss,
  parseRecord,
  type RankBeat,
  readRecords,
  recordedStepsAfter,
  recordsFromEnd,
  type Validation,
} from './metrics-record.js';
export { appendRecord, dropRecordsAfter } from './metrics-writer.js';
export { describeKept, readTrace, tracedSteps } from './read-trace.js';
export { parseRoutesFileName } from './routes-file-name.js';
export { findRun, listRuns, mayBeLive, placeNamed, RunFolder, type RunRecord, runOf } from './run-folder.js';
export { generationsOf, type RestartCosts, type RunGeneration, restartCostsOf } from './run-generations.js';
export { numStepsOf, tokensPerStep } from './run-length.js';
export { type RankMeasures, rankMeasures, STEP_MEASURES, type StepMeasure } from './step-measures.js';
export { Throughput } from './throughput.js';
export { type Timeline, timelineOf } from './timeline.js';
export type { ClockOffset, TimelineLane, TimelineSpan, TracedSteps } from './timeline-data.js';
export {
  encodeChunk,
  encodeHead,
  parseTraceFileName,
  type TraceFileName,
  type TraceHead,
  traceFileName,
} from './trace-file.js';
