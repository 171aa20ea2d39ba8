import { expect, it } from 'vitest';
import { encodePurpose, MAX_PURPOSE_BYTES } from '../../src/collectives/purpose.js';

it('keeps a purpose whole', () => {
  const longest = 'x'.repeat(MAX_PURPOSE_BYTES);
  expect(Buffer.from(encodePurpose(longest)).toString()).toBe(longest);
});

it.each(['x'.repeat(MAX_PURPOSE_BYTES + 1), 'Zähler'])('refuses to cut or change %s', (purpose) => {
  expect(() => encodePurpose(purpose)).toThrow(/cannot name an operation: at most 40 characters of ASCII/);
});
