import { cleanText } from '../read/chunks.js';

const COMMENT = /\/\*\*([\s\S]*?)\*\//g;
/** Lines that only give references or versions, which thousands of comments share. */
const BOILERPLATE =
  /^.*(?:参考[:：]|示例代码|在开发者工具中预览效果).*$|^\s*(?:文档[:：]|需要基础库[:：]|在插件中使用[:：]).*$|^.*传入的监听函数。不传此参数.*$/gm;
/** Applied twice, as some packages nest links. */
const LINK = /\[([^[\]\n]*)\]\([^)\n]*\)/g;
const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', nbsp: ' ' };
const HAN = /\p{Script=Han}/gu;
/** Shorter comments ("宽度") are labels, not text. */
const MIN_HAN_CHARS = 8;

/** Returns the Chinese prose of the doc comments of a TypeScript file, without tags, examples, markup and addresses. */
export function docComments(source: string): string[] {
  return [...source.matchAll(COMMENT)]
    .map(([, body]) => prose(withoutStars(body!).replace(/^[ \t]*@[\s\S]*?(?=\n[ \t]*\n|$(?![\s\S]))/gm, '')))
    .filter((text) => (text.match(HAN)?.length ?? 0) >= MIN_HAN_CHARS);
}

/** Returns one text for each comment that has an English (`@en`) and a Chinese (`@zh`) text, English first. */
export function pairedDocComments(source: string): string[] {
  return [...source.matchAll(COMMENT)].flatMap(([, body]) => {
    const pair = /@en\b([\s\S]*?)@zh\b([\s\S]*?)(?=\n\s*@\w|$(?![\s\S]))/.exec(withoutStars(body!));
    if (!pair) return [];
    const [english, chinese] = [prose(pair[1]!), prose(pair[2]!)];
    return isPair(english, chinese) ? [`${english}\n${chinese}`] : [];
  });
}

/**
 * Returns the compiler's messages in English and Chinese, joined by key.
 * @param compiler text of typescript.js, which holds the English messages as `diag(code, category, key, message)`
 * @param translations text of a diagnosticMessages.generated.json: key -> message
 */
export function diagnosticPairs(compiler: string, translations: string): string[] {
  const chineseOf = JSON.parse(translations) as Record<string, string>;
  const pattern = /diag\(\d+, \d+ \/\* \w+ \*\/, "([^"]+)", ("(?:[^"\\]|\\.)*")/g;
  return [...compiler.matchAll(pattern)].flatMap(([, key, message]) => {
    const english = JSON.parse(message!) as string;
    const chinese = chineseOf[key!];
    return chinese !== undefined && isPair(english, chinese) ? [`${english}\n${chinese}`] : [];
  });
}

function isPair(english: string, chinese: string): boolean {
  return /[a-z]{2}/i.test(english) && /\p{Script=Han}/u.test(chinese) && !/\p{Script=Han}/u.test(english);
}

function withoutStars(body: string): string {
  return body.replace(/^[ \t]*\*+ ?/gm, '');
}

/** Keeps the sentences; drops code blocks, link targets, HTML and boilerplate. */
function prose(markdown: string): string {
  const text = markdown
    .replace(/```[\s\S]*?(?:```|$(?![\s\S]))/g, '')
    .replace(/!\[[^\]]*\]\([^)]*\)/g, '')
    .replace(/\[\[([^\]\n]*)\]\]/g, '$1')
    .replace(LINK, '$1')
    .replace(LINK, '$1')
    .replace(/\{@link(?:code)?\s+([^}\s]+)[^}]*\}/g, '$1')
    .replace(/<\/?[a-zA-Z][^<>\n]*>/g, '')
    .replace(/https?:\/\/[\w\-./?%&=#:~+@!,;]*/g, '')
    .replace(BOILERPLATE, '')
    .replace(/\*\*/g, '')
    .replace(/&(lt|gt|amp|quot|nbsp);/g, (_, name: string) => ENTITIES[name]!)
    .replace(/^[ \t]+/gm, '')
    .replace(/[ \t]{2,}/g, ' ');
  return cleanText(text).trim();
}
