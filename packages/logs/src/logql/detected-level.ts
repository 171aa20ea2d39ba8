import type { Labels, LogStream } from '../store/streams.js';

/**
 * The label with the level of an entry, which every entry has in addition to those of its stream, as
 * structured metadata in Loki's sense.
 */
export const DETECTED_LEVEL = 'detected_level';

const BY_STREAM = new WeakMap<LogStream, Labels>();

/** Returns the labels of an entry before any stage: those of its stream and `detected_level`. */
export function entryLabels(stream: LogStream): Labels {
  let labels = BY_STREAM.get(stream);
  if (labels === undefined) {
    labels = new Map(stream.labels).set(DETECTED_LEVEL, stream.labels.get('level')!);
    BY_STREAM.set(stream, labels);
  }
  return labels;
}
