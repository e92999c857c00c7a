"""The air-gap bundle: built where there is internet, verified, loaded and proven where there is none.

What runs at the target is this package without `building`, as one zipapp: Python >= 3.9, the standard library alone,
and no format but JSON.
"""
