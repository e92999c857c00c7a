import { dollarMaths } from '../markdown/maths';

describe('dollarMaths', () => {
  it.each([
    ['the mean \\(\\bar{x}\\) is', 'the mean $\\bar{x}$ is'],
    ['\\[\nx^2\n\\]', '$$x^2$$'],
    ['  \\[ x \\] end', '  $$x$$ end'],
    ['`\\(code\\)` and \\(x\\)', '`\\(code\\)` and $x$'],
    ['```tex\n\\(x\\)\n```\n\\(y\\)', '```tex\n\\(x\\)\n```\n$y$'],
    ['an \\[escaped\\](link)', 'an \\[escaped\\](link)'],
    ['open \\(x', 'open \\(x'],
    ['cost $5', 'cost $5']
  ])('%j becomes %j', (source, expected) => {
    expect(dollarMaths(source)).toBe(expected);
  });
});
