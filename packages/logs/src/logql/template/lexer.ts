/** A text between actions, or the tokens of an action. */
export type Section = { readonly text: string } | { readonly tokens: readonly string[] };

type Fail = (message: string) => Error;

const ACTION_TOKEN =
  /\s+|("(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)'|\$\w*(?:\.[A-Za-z_]\w*)*|(?:\.[A-Za-z_]\w*)+|[+-]?(?:0[xXbBoO][0-9A-Fa-f_]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|\.|[A-Za-z_]\w*|\)(?:\.[A-Za-z_]\w*)*|[(|,]|:=|=)/gy;

/** Splits a template at its actions; `{{-` and `-}}` trim the text beside them. */
export function splitTemplate(template: string, fail: Fail): Section[] {
  const sections: Section[] = [];
  let rest = template;
  let trimsStart = false;
  for (;;) {
    const open = rest.indexOf('{{');
    const trimsEnd = open >= 0 && /^-\s/.test(rest.slice(open + 2, open + 4));
    let text = open < 0 ? rest : rest.slice(0, open);
    if (trimsStart) text = text.trimStart();
    if (trimsEnd) text = text.trimEnd();
    if (text !== '') sections.push({ text });
    if (open < 0) return sections;
    const inside = rest.slice(open + (trimsEnd ? 3 : 2));
    const comment = /^\s*\/\*.*?\*\/\s*/s.exec(inside)?.[0];
    const tokens: string[] = [];
    let at = comment?.length ?? 0;
    if (comment === undefined)
      for (const [all, token] of inside.matchAll(ACTION_TOKEN)) {
        at += all.length;
        if (token !== undefined) tokens.push(token);
      }
    const close = /^(\s*-)?\}\}/.exec(inside.slice(at));
    trimsStart = close?.[1] !== undefined && /\s$/.test(inside.slice(0, at) || ' ');
    if (close === null) {
      if (!inside.includes('}}')) throw fail('template: unclosed action');
      throw fail(`template: unexpected ${JSON.stringify(inside.slice(at, at + 10))} in an action`);
    }
    if (comment === undefined) sections.push({ tokens });
    rest = inside.slice(at + close[0].length);
  }
}
