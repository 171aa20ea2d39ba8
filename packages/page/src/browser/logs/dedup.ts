import type { PageState } from '../page-state.js';
import type { LogLine } from './log-line.js';

const DATE =
  /\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:[.,]\d+)?(?:Z|[+-]\d{2}:?\d{2})?|\b\d{2}:\d{2}:\d{2}(?:[.,]\d+)?\b/g;
const NUMBER = /\b(?:\d{1,3}\.){3}\d{1,3}\b|\d+(?:[.,]\d+)*(?:ns|us|µs|ms|s|m|h)?/g;

/** Returns the signature of a line. Consecutive lines with equal signatures are merged; null never merges. */
export function signatureOf(line: LogLine, kind: PageState['dedup']): string | null {
  const text = `${line.level} ${line.message}`;
  switch (kind) {
    case 'none':
      return null;
    case 'exact':
      return text.replace(DATE, '');
    case 'numbers':
      return text.replace(DATE, '').replace(NUMBER, '');
    case 'signature':
      return line.message.replace(/[^\s\p{P}\p{S}]/gu, '');
  }
}
