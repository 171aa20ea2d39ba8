import type { EventInput } from '../../rpc/generated/tensorflow/Event.js';
import { loadProto } from '../../rpc/load-proto.js';

/** One event of proto/tensorboard.proto. */
export type TensorboardEvent = {
  /** Wall clock, ms since 1970. */
  readonly timeMs: number;
  readonly step: number;
} & (
  | { readonly kind: 'version' }
  /** A resumed run starts at `step`: discards what was recorded from there on. */
  | { readonly kind: 'start' }
  | { readonly kind: 'scalars'; readonly scalars: Readonly<Record<string, number>> }
);

/** The event as protobuf. */
export function encodeEvent(event: TensorboardEvent): Buffer {
  const { serialize } = loadProto('tensorboard', 'tensorflow.Event');
  return serialize({ wallTime: event.timeMs / 1000, step: event.step, ...payload(event) });
}

function payload(event: TensorboardEvent): EventInput {
  switch (event.kind) {
    case 'version':
      return { fileVersion: 'brain.Event:2' };
    case 'start':
      return { sessionLog: { status: 'START' } };
    case 'scalars':
      return {
        summary: { value: Object.entries(event.scalars).map(([tag, simpleValue]) => ({ tag, simpleValue })) },
      };
  }
}
