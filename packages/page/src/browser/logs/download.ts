import { h } from '../dom.js';
import { type LogLine, originOf } from './log-line.js';

/** Downloads the lines as tab-separated text, or as JSON with labels and fields. */
export function downloadLines(lines: readonly LogLine[], kind: 'txt' | 'json', name: string): void {
  const text =
    kind === 'txt'
      ? lines
          .map(
            (line) =>
              `${new Date(line.timeMs).toISOString()}\t${line.level}\t${originOf(line)}\t${line.message}\n`,
          )
          .join('')
      : JSON.stringify(
          lines.map(({ ns, labels, fields, text: line }) => ({ timestamp: ns, labels, fields, line })),
          null,
          2,
        );
  const url = URL.createObjectURL(
    new Blob([text], { type: kind === 'txt' ? 'text/plain' : 'application/json' }),
  );
  const link = h('a', { href: url, download: `${name}.${kind}` });
  link.click();
  URL.revokeObjectURL(url);
}
