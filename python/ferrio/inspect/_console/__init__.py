"""The web console of `ferrio console`: one page on loopback that shows an inspected process.

It runs in the command's own process and asks the inspected one by its socket, as every other view does. `_observed`
looks again and again and remembers, `_answers` makes of it what the page asks for, `_server` lets in who may ask, and
`_command` starts it all. What the browser loads is in `page/`.
"""
