// Original file: proto/tensorboard.proto


// Original file: proto/tensorboard.proto

export const _tensorflow_SessionLog_SessionStatus = {
  STATUS_UNSPECIFIED: 'STATUS_UNSPECIFIED',
  START: 'START',
} as const;

export type _tensorflow_SessionLog_SessionStatusInput =
  | 'STATUS_UNSPECIFIED'
  | 0
  | 'START'
  | 1

export type _tensorflow_SessionLog_SessionStatus = typeof _tensorflow_SessionLog_SessionStatus[keyof typeof _tensorflow_SessionLog_SessionStatus]

export interface SessionLogInput {
  'status'?: (_tensorflow_SessionLog_SessionStatusInput);
}

export interface SessionLog {
  'status': (_tensorflow_SessionLog_SessionStatus);
}
