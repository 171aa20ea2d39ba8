import type { OneOf } from '../../one-of.js';
// Original file: proto/tensorboard.proto

import type { SummaryInput as _tensorflow_SummaryInput, Summary as _tensorflow_Summary } from '../tensorflow/Summary.js';
import type { SessionLogInput as _tensorflow_SessionLogInput, SessionLog as _tensorflow_SessionLog } from '../tensorflow/SessionLog.js';
import type { Long } from '@grpc/proto-loader';

export interface EventInput {
  'wallTime'?: (number | string);
  'step'?: (number | string | Long);
  'fileVersion'?: (string);
  'summary'?: (_tensorflow_SummaryInput | null);
  'sessionLog'?: (_tensorflow_SessionLogInput | null);
  'what'?: "fileVersion"|"summary"|"sessionLog";
}

export type Event = OneOf<EventFields, 'what'>;

interface EventFields {
  /**
   * Seconds since 1970.
   */
  'wallTime': (number);
  'step': (number);
  'fileVersion'?: (string);
  'summary'?: (_tensorflow_Summary | null);
  'sessionLog'?: (_tensorflow_SessionLog | null);
  'what'?: "fileVersion"|"summary"|"sessionLog";
}
