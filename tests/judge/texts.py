"""Short texts of several kinds over which models are compared: prose, a tale, code, a recipe, a letter, numbers."""

TEXTS = [
    "The Moon is the only natural satellite of the Earth. It turns around our planet once in about twenty-seven days, and always shows "
    "us the same side, because its own rotation takes exactly as long. The far side was first seen in 1959.",
    "Once upon a time a miller had three sons, his mill, a donkey and a cat. The sons had to grind, the donkey had to fetch the corn and "
    "carry the flour away, and the cat had to catch the mice. When the miller died, the sons divided what he had left.",
    "def fibonacci(n):\n    \"\"\"Returns the first n numbers of Fibonacci's sequence.\"\"\"\n    numbers = [0, 1]\n    while len(numbers) < n:\n"
    "        numbers.append(numbers[-1] + numbers[-2])\n    return numbers[:n]\n",
    "To make the dough, mix two cups of flour with a spoon of salt and a cup of warm water. Knead it for ten minutes until it is smooth, "
    "cover it with a cloth, and let it rest for an hour before you roll it out on a table.",
    "Dear Anna, thank you for your letter, which I received last Monday. We are all well here, although the winter has been long and the "
    "snow still lies deep in the garden. The children ask every day when you will come to visit us again.",
    "A train leaves the station at 9:00 and travels at 80 kilometres an hour. A second train leaves at 10:00 and travels at 120 kilometres "
    "an hour. After two hours the second train has caught up with the first, because both have covered 240 kilometres.",
]
