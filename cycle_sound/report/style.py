"""How the report looks: one column on a phone, light or dark as the reader's system is."""

STYLE = """
:root { color-scheme: light dark; --paper: #fdfdfc; --ink: #1f2328; --soft: #656d76; --rule: #e3e5e8;
  --c0: #2563a8; --c1: #c2571a; --c2: #7a7f87; --room: #e6ebf1 }
@media (prefers-color-scheme: dark) { :root { --paper: #16181b; --ink: #e4e6e9; --soft: #9aa2ab; --rule: #2f343a;
  --c0: #76aef0; --c1: #f0995b; --c2: #9097a0; --room: #2a3038 } }
* { box-sizing: border-box }
body { font: 16px/1.55 system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif; color: var(--ink);
  background: var(--paper); margin: 0 auto; max-width: 70rem; padding: 2rem 1rem 4rem; overflow-wrap: anywhere }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem; letter-spacing: -.01em }
h2 { font-size: 1.3rem; margin: 3.5rem 0 .4rem; padding-top: 1rem; border-top: 1px solid var(--rule) }
h3 { font-size: 1rem; margin: 1.8rem 0 .5rem }
p { max-width: 42rem; margin: .4rem 0 1rem }
p, .legend, small { color: var(--soft) }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: 1rem 0 }
a { color: var(--c0); text-decoration: none } a:hover { text-decoration: underline }
figure { margin: 0 } svg, img { display: block; width: 100%; height: auto }
.two { display: grid; gap: 1rem 3rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)) }
.two > *, .charts > *, .strips > * { min-width: 0 }
.charts { display: grid; gap: 1.8rem 2rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)) }
.strips { display: grid; gap: 1.4rem 2rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)) }
.score { display: grid; grid-template-columns: 11.5rem 1fr 2.6rem; gap: .8rem; align-items: center; padding: .22rem 0 }
.score b { text-align: right; font-weight: 600; font-variant-numeric: tabular-nums }
.track { position: relative; height: 1.1rem; border-bottom: 1px solid var(--rule) }
.track i { position: absolute }
.track .room { top: 0; bottom: 0; background: var(--room) }
.track .end { top: 0; bottom: 0; width: 2px; margin-left: -1px; background: var(--c2) }
.track .interval { top: .5rem; height: 2px; background: var(--c0) }
.track .dot { width: .6rem; height: .6rem; top: .27rem; margin-left: -.3rem; border-radius: 50%; background: var(--c0) }
.scale { display: flex; justify-content: space-between; margin: .1rem 3.4rem 0 12.3rem; font-size: .75rem;
  color: var(--soft) }
.legend { font-size: .82rem; display: flex; flex-wrap: wrap; gap: .1rem 1.1rem }
.key::before { content: ""; display: inline-block; width: 1.1rem; height: 0; vertical-align: .25em; margin-right: .4rem;
  border-top: 2px solid var(--c0) }
.key.c1::before { border-color: var(--c1) } .key.c2::before { border-color: var(--c2) }
.key.dashed::before { border-top-style: dashed }
.key.dot::before { width: .6rem; height: .6rem; border: 0; border-radius: 50%; background: var(--c0);
  vertical-align: 0 }
.key.room::before { height: .8rem; border: 0; background: var(--room); vertical-align: -.1em }
.chart figcaption { font-weight: 600; font-size: .92rem }
svg text { font-size: 11px; fill: var(--soft) } .rule { stroke: var(--rule); fill: none }
.line path { fill: none; stroke: var(--c0); stroke-width: 1.8; stroke-linejoin: round } .line circle { fill: var(--c0) }
.line.c1 path { stroke: var(--c1) } .line.c1 circle { fill: var(--c1) }
.line.c2 path { stroke: var(--c2) } .line.c2 circle { fill: var(--c2) }
.line.dashed path { stroke-dasharray: 5 4; stroke-width: 1.4 }
.band { fill: var(--c0); opacity: .13 } .band.c1 { fill: var(--c1) } .band.c2 { fill: var(--c2) }
.charts + p { margin-top: 1.2rem }
.strip p { font-size: .85rem; margin: 0 0 .3rem }
.strip > div { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: .5rem }
.strip img { aspect-ratio: 1; object-fit: fill; image-rendering: pixelated; border-radius: 3px }
.strip audio { width: 100%; height: 2rem; margin-top: .3rem; display: block }
.strip figcaption { font-size: .85rem; line-height: 1.35; margin-top: .25rem }
.strip small { display: block; font-size: inherit }
.big { font-size: 1.05rem; color: var(--ink) }
table { border-collapse: collapse; width: 100%; font-size: .85rem; font-variant-numeric: tabular-nums }
th, td { text-align: right; padding: .25rem 0 .25rem .7rem; border-bottom: 1px solid var(--rule); font-weight: 400 }
th:first-child { text-align: left; padding-left: 0 } thead th { color: var(--soft) }
details { margin: 1rem 0 } summary { cursor: pointer; color: var(--c0); font-size: .92rem }
@media (max-width: 34rem) { .score { grid-template-columns: 1fr 2.6rem; gap: 0 .8rem; padding: .4rem 0 }
  .score .track { grid-row: 2 } .score b { grid-row: 2; grid-column: 2 }
  .score > span:first-child { grid-column: 1 / -1 }
  .scale { margin-left: 0 } table { font-size: .75rem } th, td { padding-left: .4rem }
  body { padding-top: 1.2rem } }
"""
