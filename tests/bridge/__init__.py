"""Tests of ferrio-bridge through the extension of examples/rust-extension, on asyncio's loop and on ferrio's."""
