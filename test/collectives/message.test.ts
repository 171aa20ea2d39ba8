import { KIND_OF_CODE, OPERATION_CODES, OPERATION_KINDS } from '@locmoe/run-format/operations';
import { expect, it } from 'vitest';
import { encodeHeader, MESSAGE_HEADER_BYTES } from '../../src/collectives/message.js';

it('every kind of operation keeps its code on the wire', () => {
  const codeOf = (kind: (typeof OPERATION_KINDS)[number]) => {
    const header = new Uint8Array(MESSAGE_HEADER_BYTES);
    encodeHeader(header, { kind, purpose: 'step' }, { sequence: 1, step: 0 }, 0, true);
    return header[8];
  };
  expect((['all-to-all', 'all-reduce', 'all-gather', 'barrier'] as const).map(codeOf)).toEqual([0, 1, 2, 4]);
  expect(OPERATION_KINDS.map((kind) => KIND_OF_CODE[OPERATION_CODES[kind]])).toEqual(OPERATION_KINDS);
});
