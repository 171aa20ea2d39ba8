import { FLOW_CONTROL_WINDOW_BYTES } from 'locmoe/agent/peer-streams';

/** What both sides of the measured gRPC stream name when they meet. */
export const STREAM_RUN = {
  runId: 'stream',
  generation: 1,
  numNodes: 2,
  ringBytes: FLOW_CONTROL_WINDOW_BYTES,
} as const;
