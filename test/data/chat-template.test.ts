import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { encodeByTemplate, readChatTemplate } from '../../src/data/chat-template.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-chat-template-'));
afterAll(() => rmSync(folder, { recursive: true }));

const MESSAGES = '{% for message in messages %}{{ message.content }}{% endfor %}';
const TOKENIZER = {
  specialTokens: [
    { content: '<a>', id: 1, lstrip: true, rstrip: false },
    { content: '<a>b', id: 2, lstrip: false, rstrip: true },
  ],
  // Each character is a token.
  encode: (text: string) => Uint32Array.from(text, (char) => char.codePointAt(0)!),
};

/** The text of the tokens, with special tokens by their ids. */
function encoded(template: string, content = '', tokenizer: typeof TOKENIZER = TOKENIZER): string {
  writeFileSync(path.join(folder, 'chat_template.jinja'), template);
  const ids = encodeByTemplate([{ role: 'user', content }], readChatTemplate(folder)!, tokenizer);
  return ids.map((id) => (id < 3 ? `[${id}]` : String.fromCodePoint(id))).join('');
}

it('special tokens take the white space beside them along', () => {
  expect(encoded('x <a> <a>b \t y <a>{{ messages[0].content }}', ' <a> ')).toBe('x[1] [2]y[1] <a> ');
});

it('a tokenizer may have no special tokens', () => {
  expect(encoded(`${MESSAGES}.`, 'as it is', { ...TOKENIZER, specialTokens: [] })).toBe('as it is.');
});

it('many spaces in a message take no time that grows with their square', () => {
  const spaces = ' '.repeat(200_000);
  expect(encoded(`${MESSAGES}x<a>`, spaces)).toBe(`${spaces}x[1]`);
});

it.each<[string, string, RegExp]>([
  ['that is too long', 'x'.repeat(300_000), /has 300000 characters; at most 262144 are read$/],
  ['that takes long to parse', ' '.repeat(250_000), /cannot be read \(.*timed out after 3000ms\)$/],
  [
    'that makes too much text',
    `{% set n = namespace(s='a') %}{% for i in range(23) %}{% set n.s = n.s + n.s %}{% endfor %}{{ n.s }}`,
    /\(it makes 8388608 characters of them; at most 4194304 are read\)$/,
  ],
  [
    'that speaks to the terminal',
    "{{ raise_exception('no\u001b]0;title\u0007\u202e') }}",
    /\(no \]0;title \)$/,
  ],
])('a template %s is refused', (_, template, message) => {
  expect(() => encoded(template)).toThrow(message);
});
