/**
 * Models write `\(x\)` and `\[x\]`; Lab's Markdown knows `$x$` and `$$x$$`. Code
 * is left alone. `\[` counts only where it begins a line: elsewhere it is more
 * often an escaped bracket.
 */
const CODE = /(^[ >]*(`{3,}|~{3,})[\s\S]*?(?:^[ >]*\2|$(?![\s\S]))|`+[^`]+`+)/m;

export function dollarMaths(source: string): string {
  if (!/\\[([]/.test(source)) {
    return source;
  }
  const code = CODE.exec(source);
  if (!code) {
    return converted(source);
  }
  const end = code.index + code[0].length;
  return (
    converted(source.slice(0, code.index)) +
    code[0] +
    dollarMaths(source.slice(end))
  );
}

function converted(text: string): string {
  return text
    .replace(
      /\\\(([^\n]+?(?:\n[^\n]+?)*?)\\\)/g,
      (_, maths: string) => `$${maths.trim()}$`
    )
    .replace(
      /^([ >]*)\\\[([\s\S]+?)\\\]/gm,
      (_, margin: string, maths: string) => `${margin}$$${maths.trim()}$$`
    );
}
