import { FLOW_CONTROL_WINDOW_BYTES } from 'locmoe/internal/agent/peer-streams';

/** Run identity used by both ends of the measured gRPC stream. */
export const STREAM_RUN = {
  runId: 'stream',
  generation: 1,
  numNodes: 2,
  ringBytes: FLOW_CONTROL_WINDOW_BYTES,
  keepaliveMs: 5_000,
} as const;
