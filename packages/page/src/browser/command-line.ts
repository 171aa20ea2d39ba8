import { button, h, icon } from './dom.js';

const COPIED_MS = 1_500;

/** A command with a button that copies it. @param what it does, in a word or two */
export function commandLine(what: string, command: string): HTMLElement {
  const code = h.code(command);
  const done = h.span({ class: 'copied', role: 'status' });
  const copy = button(icon('copy'), () => void copied(), {
    label: `copy the command: ${what}`,
    class: 'bare',
  });
  const copied = async () => {
    try {
      await navigator.clipboard.writeText(command);
      done.textContent = 'copied';
    } catch {
      // Only pages of this machine or over HTTPS have the clipboard: Ctrl-C copies a selection anywhere.
      getSelection()?.selectAllChildren(code);
      done.textContent = 'selected: press Ctrl-C';
    }
    setTimeout(() => done.replaceChildren(), COPIED_MS);
  };
  return h.p({ class: 'command' }, h.span(what), code, copy, done);
}
