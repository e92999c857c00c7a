/** Markdown as models write it, and as they should not. */
export const CORPUS: Record<string, string> = {
  'paragraphs and headings': `# Title

First paragraph
goes on.

Setext title
============

## Second
text right after it

---

Last *one*.`,
  'tight and loose lists': `Before

- one
- two
  - nested

    with a paragraph
- three

after the list

1. first

   second paragraph of it

2. second

* * *

+ plus
+ plus`,
  'a list with fences': `1. Install:

   \`\`\`bash
   pip install x

   pip install y
   \`\`\`

2. Run:
   \`\`\`python
   print(1)
   \`\`\`

Done.`,
  'a fence at the margin inside a list': `1. Install:
\`\`\`bash
pip install x
\`\`\`
2. Run it`,
  'fences with blank lines, marks and HTML inside': `Text
\`\`\`python
def f():

    return "# no title"

- no list
<div>
\`\`\`
Text after it

~~~
\`\`\`
not closed by backticks
~~~

\`\`\`\`md
\`\`\`js
inner
\`\`\`
\`\`\`\`
end`,
  'an open fence': `Text

\`\`\`python
print(1)

print(2)`,
  tables: `| a | b |
|---|---|
| 1 | \`x|y\` |
| 2 | 3 |

| no | rows |
|:--|--:|

text`,
  quotes: `> quote
> goes on

> next quote

text

> \`\`\`
> code
> \`\`\`

end`,
  'indented code': `Text

    code

    more code

Text`,
  'raw HTML': `<details>
<summary>More</summary>

Inside **bold**

- list

</details>

After

<!-- a comment

with a blank line -->

<b>inline</b> text

<pre>
a

b
</pre>

end`,
  'link definitions': `[first] and [second][two] and [not defined].

[first]: https://a.example "A"
[two]: <https://b.example>

Later again [First] and a note[^1].

[^1]: https://note.example

[first]: https://late.example

End [first].`,
  footnotes: `A claim[^1] and another[^why].

[^1]: A long note
  that goes on
[^why]: https://why.example

After it[^1].`,
  prices: `It costs $5 and $6.

Between $7 and

$8, and $x_1$ is maths.

- $9
- 10$`,
  maths: `Inline $a_1$ and

$$
\\int_0^1 x

+ y
$$

text \\(x\\)

\\[
x

y
\\]

end`,
  'mixed scripts': `한국어 문단입니다.

다음 문단 **굵게**

- 항목 하나
- 항목 둘

끝.`,
  'task lists and breaks': `- [ ] open
- [x] done

hard  
break

soft\\
break`,
  'numbers that are no list': `2024. was a year

1990 was another

3) third`,
  'only blanks': `

`,
  'deep nesting': `- a
  - b
    - c

      para

    - d
- e

1. x
   - y

     \`\`\`
     z
     \`\`\`
text lazily continues

para`,
  'windows line ends':
    'one\r\n\r\ntwo\r\n\r\n```js\r\nx\r\n```\r\n\r\n- a\r\n- b\r\n'
};
