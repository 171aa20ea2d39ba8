import type { RunConfig } from 'locmoe/internal/config/schema';
import { ROLES, type Template, templateOf } from 'locmoe/internal/data/template';

/** A named template; transformers takes several. */
export interface NamedTemplate {
  readonly name: string;
  readonly template: string;
}

/**
 * Makes Jinja templates for `apply_chat_template`, of the domains that were fine-tuned with answers: the
 * texts before, between and after the turns, as in training.
 *
 * @returns a single template; or several, named by domain, of which the first is also `default`; undefined if
 *   there is no such domain
 */
export function chatTemplate({ data }: Pick<RunConfig, 'data'>): string | NamedTemplate[] | undefined {
  const named = data.domains.flatMap((name, domain) => {
    const template = templateOf(data, domain);
    return template === null ? [] : [{ name, template: inJinja(template) }];
  });
  const [first] = named;
  if (first === undefined) return undefined;
  if (named.every(({ template }) => template === first.template)) return first.template;
  return [{ ...first, name: 'default' }, ...named];
}

/** Writes a template on one line, as Jinja drops the line end after a block. */
function inJinja(template: Template): string {
  const turns = ROLES.map((role, i) => {
    const { prefix, suffix } = template[role];
    const end = role === 'assistant' ? ' + eos_token' : '';
    const text = `${literal(prefix)} + message['content'] + ${literal(suffix)}${end}`;
    return `{% ${i === 0 ? 'if' : 'elif'} message['role'] == '${role}' %}{{ ${text} }}`;
  });
  const other = `{% else %}{{ raise_exception('roles are ${ROLES.join(', ')}') }}{% endif %}`;
  const answer = `{% if add_generation_prompt %}{{ ${literal(template.assistant.prefix)} }}{% endif %}`;
  return `{{ bos_token }}{% for message in messages %}${turns.join('')}${other}{% endfor %}${answer}`;
}

/**
 * Writes a string for Jinja, which has JSON's escapes. Block and comment marks are split up: some readers
 * look for them in strings.
 */
function literal(text: string): string {
  return JSON.stringify(text).replace(/\{(?=[{%#])|[-{%#}](?=\})/g, '$&" + "');
}
