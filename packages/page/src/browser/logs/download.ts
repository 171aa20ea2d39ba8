import { saveFile } from '../save-file.js';
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
  saveFile(`${name}.${kind}`, new Blob([text], { type: kind === 'txt' ? 'text/plain' : 'application/json' }));
}
