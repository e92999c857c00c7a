import { DOLLAR, labMarkdown } from '../dialect';

/** The dollars that are no maths are shown as €: easier to read here. */
function read(source: string): string {
  return labMarkdown(source).replaceAll(DOLLAR, '€');
}

describe('the maths of models', () => {
  it.each([
    ['the mean \\(\\bar{x}\\) is', 'the mean $\\bar{x}$ is'],
    ['\\[\nx^2\n\\]', '$$x^2$$'],
    ['  \\[ x \\] end', '  $$x$$ end'],
    ['\\(x\\)2 and \\( y \\)', '$x$2 and $y$'],
    ['`\\(code\\)` and \\(x\\)', '`\\(code\\)` and $x$'],
    ['```tex\n\\(x\\)\n```\n\\(y\\)', '```tex\n\\(x\\)\n```\n$y$'],
    ['an \\[escaped\\](link)', 'an \\[escaped\\](link)'],
    ['open \\(x', 'open \\(x']
  ])('becomes that of Lab: %j', (source, expected) => {
    expect(read(source)).toBe(expected);
  });
});

describe('a single dollar', () => {
  it.each([
    ['cost $5', 'cost €5'],
    ['it costs $5 and $6.', 'it costs €5 and €6.'],
    ['$5-$10', '€5-€10'],
    ['5$ and 6$', '5€ and 6€'],
    ['| $5 | $6 |', '| €5 | €6 |'],
    ['$1 now\n\nand then x$', '€1 now\n\nand then x€'],
    ['escaped \\$5 and \\$6', 'escaped €5 and €6'],
    ['$x = \\$5$ and $6', '$x = \\$5$ and €6'],
    ['$a_1$, $b$ cost $5', '$a_1$, $b$ cost €5'],
    ['$a\n+ b$', '$a\n+ b$'],
    ['$$5 + 6$$ and $5', '$$5 + 6$$ and €5'],
    ['`$A` and `$B`, $5', '`$A` and `$B`, €5'],
    ['```sh\necho $A $B\n```\n$5', '```sh\necho $A $B\n```\n€5'],
    ['https://x.example/$a/$b $5', 'https://x.example/$a/$b €5'],
    ['$5 and `x$`', '€5 and `x$`'],
    ['\\\\$x$', '\\\\$x$']
  ])('is maths by the rule of pandoc: %j', (source, expected) => {
    expect(read(source)).toBe(expected);
  });
});

describe('a footnote', () => {
  it.each([
    ['foot[^1]\n\n[^1]: note', 'foot[^1]\n\n\n\\[^1]: note'],
    [
      '[^a]: https://x.example\n[^b]: two',
      '\n\\[^a]: https://x.example\n\n\\[^b]: two'
    ],
    ['```\n[^1]: code\n```', '```\n[^1]: code\n```'],
    ['[a]: https://x.example', '[a]: https://x.example']
  ])('is text as it was written: %j', (source, expected) => {
    expect(read(source)).toBe(expected);
  });
});
