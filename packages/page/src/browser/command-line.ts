import { button, h, icon } from './dom.js';

const COPIED_MS = 1_500;

/** Creates a command with a button that copies it. @param what what the command does, in a word or two */
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
      // The clipboard is available only on localhost or over HTTPS; elsewhere, Ctrl-C copies the selection.
      getSelection()?.selectAllChildren(code);
      done.textContent = 'selected: press Ctrl-C';
    }
    setTimeout(() => done.replaceChildren(), COPIED_MS);
  };
  return h.p({ class: 'command' }, h.span(what), code, copy, done);
}
