import * as grpc from '@grpc/grpc-js';
import { asTrainerError, type ErrorCode } from '../errors.js';

const STATUS_OF: Readonly<Record<ErrorCode, grpc.status>> = {
  BAD_CONFIG: grpc.status.INVALID_ARGUMENT,
  BAD_INPUT: grpc.status.FAILED_PRECONDITION,
  BAD_CHECKPOINT: grpc.status.DATA_LOSS,
  NO_RESOURCE: grpc.status.RESOURCE_EXHAUSTED,
  BAD_MESSAGE: grpc.status.INVALID_ARGUMENT,
  DISK_FULL: grpc.status.RESOURCE_EXHAUSTED,
  COLLECTIVE_TIMEOUT: grpc.status.DEADLINE_EXCEEDED,
  COLLECTIVE_MISMATCH: grpc.status.FAILED_PRECONDITION,
  WORKER_DIED: grpc.status.ABORTED,
  WORKER_HUNG: grpc.status.ABORTED,
  NODE_RETURNED: grpc.status.UNAVAILABLE,
  NODE_LOST: grpc.status.ABORTED,
  NOT_FINITE: grpc.status.ABORTED,
  SUPERSEDED: grpc.status.ABORTED,
  ABORTED: grpc.status.ABORTED,
  INTERRUPTED: grpc.status.CANCELLED,
  UNAVAILABLE: grpc.status.UNAVAILABLE,
  UNAUTHENTICATED: grpc.status.UNAUTHENTICATED,
  RUN_FULL: grpc.status.RESOURCE_EXHAUSTED,
  INTERNAL: grpc.status.INTERNAL,
};

/** Returns the gRPC status for anything thrown. */
export function toServiceError(error: unknown): Partial<grpc.StatusObject> {
  const { code, line } = asTrainerError(error);
  return { code: STATUS_OF[code], details: line };
}
