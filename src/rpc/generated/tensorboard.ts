import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { EventInput as _tensorflow_EventInput, Event as _tensorflow_Event } from './tensorflow/Event.js';
import type { SessionLogInput as _tensorflow_SessionLogInput, SessionLog as _tensorflow_SessionLog } from './tensorflow/SessionLog.js';
import type { SummaryInput as _tensorflow_SummaryInput, Summary as _tensorflow_Summary } from './tensorflow/Summary.js';

export interface ProtoGrpcType {
  tensorflow: {
    Event: MessageTypeDefinition<_tensorflow_EventInput, _tensorflow_Event>
    SessionLog: MessageTypeDefinition<_tensorflow_SessionLogInput, _tensorflow_SessionLog>
    Summary: MessageTypeDefinition<_tensorflow_SummaryInput, _tensorflow_Summary>
  }
}

